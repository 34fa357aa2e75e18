"""Where those stand whom a run is about: its workspace, its tenant, and who started it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lastword.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger holds now of a run's tenant and initiator.

    Attributes:
        home: the workspace that the tenant belongs to; None if there is no such tenant.
        workspace_suspended: whether nothing may be done in that workspace.
        tenant_removed: whether the tenant is gone.
        tenant_suspended: whether no operation may run on it.
        writable: whether operations may write to it.
        user_known: whether the initiator is a person that Lastword knows.
        user_disabled: whether that person may do nothing any more.
        role: what that person is in the workspace; None if no member.
        tenants: the only tenants that the member may see; None: all of the workspace.
    """

    home: str | None = None
    workspace_suspended: bool = False
    tenant_removed: bool = False
    tenant_suspended: bool = False
    writable: bool = False
    user_known: bool = False
    user_disabled: bool = False
    role: str | None = None
    tenants: tuple[str, ...] | None = None


def find_standing(ledger: Ledger, *, tenant_id: str, initiator_id: str | None) -> Standing:
    """Where a tenant and the person who asks for work on it stand now.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    param = ledger.dialect.param
    with ledger.session():
        rows = ledger.execute(
            "SELECT tenant.workspace_id AS home, workspace.suspended_at AS workspace_suspended, "
            "tenant.removed_at AS removed, tenant.suspended_at AS suspended, tenant.writable, "
            "person.id AS person, person.disabled_at AS disabled, member.role, member.tenants "
            "FROM lastword_tenant AS tenant "
            "JOIN lastword_workspace AS workspace ON workspace.id = tenant.workspace_id "
            f"LEFT JOIN lastword_user AS person ON person.id = {param} "
            "LEFT JOIN lastword_membership AS member "
            "ON member.user_id = person.id AND member.workspace_id = tenant.workspace_id "
            f"WHERE tenant.id = {param}",
            initiator_id,
            tenant_id,
        )
    if not rows:
        return Standing()
    [row] = rows
    return Standing(
        home=row["home"],
        workspace_suspended=row["workspace_suspended"] is not None,
        tenant_removed=row["removed"] is not None,
        tenant_suspended=row["suspended"] is not None,
        writable=bool(row["writable"]),
        user_known=row["person"] is not None,
        user_disabled=row["disabled"] is not None,
        role=row["role"],
        tenants=tuple(json.loads(row["tenants"])) if row["tenants"] else None,
    )
