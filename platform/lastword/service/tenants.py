"""Workspaces and tenants: adding them."""

from __future__ import annotations

from peewee import SQL

from lastword.errors import InvalidInputs
from lastword.storage.ledger import Ledger
from lastword.storage.tables import Tenant, Workspace


def add_tenant(ledger: Ledger, *, tenant_id: str, name: str, workspace_id: str = "default") -> bool:
    """Add a tenant, and its workspace if that is new. False if the tenant was there already.

    Raises:
        InvalidInputs: an id or the name is empty, too long, or cannot be printed.
    """
    for what, text, longest in (
        ("tenant id", tenant_id, 64),
        ("workspace id", workspace_id, 64),
        ("name", name, 200),
    ):
        if not 0 < len(text) <= longest or not text.isprintable():
            raise InvalidInputs(
                f"{what} {text[:longest]!a} has {len(text)} characters",
                expected=f"1 to {longest} that can be printed",
            )
    now = SQL(ledger.dialect.now_ms)
    workspace = Workspace.insert(id=workspace_id, name=workspace_id, created_at=now)
    tenant = Tenant.insert(id=tenant_id, workspace_id=workspace_id, name=name, created_at=now)
    with ledger.transaction():
        workspace.on_conflict_ignore().execute(ledger.database)
        # The row count, because the id of an insert that was ignored is not None everywhere.
        added = tenant.on_conflict_ignore().as_rowcount().execute(ledger.database)
    return bool(added)
