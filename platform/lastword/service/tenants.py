"""Workspaces and tenants: adding them, suspending them, opening them for writing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peewee import SQL

from lastword.service.audit import SYSTEM, Actor, Entry, write_audit
from lastword.service.members import require_text
from lastword.storage.access_tables import Tenant, Workspace
from lastword.storage.ledger import Ledger


def add_tenant(
    ledger: Ledger,
    *,
    tenant_id: str,
    name: str,
    workspace_id: str = "default",
    actor: Actor = SYSTEM,
) -> bool:
    """Add a tenant, and its workspace if that is new. False if the tenant was there already.

    Raises:
        InvalidInputs: an id or the name is empty, too long, or cannot be printed.
    """
    require_text("tenant id", tenant_id, 64)
    require_text("workspace id", workspace_id, 64)
    require_text("name", name, 200)
    now = SQL(ledger.dialect.now_ms)
    workspace = Workspace.insert(id=workspace_id, name=workspace_id, created_at=now)
    tenant = Tenant.insert(id=tenant_id, workspace_id=workspace_id, name=name, created_at=now)
    with ledger.transaction():
        workspace.on_conflict_ignore().execute(ledger.database)
        # The row count, because the id of an insert that was ignored is not None everywhere.
        added = tenant.on_conflict_ignore().as_rowcount().execute(ledger.database)
        if added:
            told = {"name": name, "workspace_id": workspace_id}
            audit_on_tenant(
                ledger, actor, "tenant.add", "tenant", tenant_id, tenant_id=tenant_id, after=told
            )
    return bool(added)


def set_writable(ledger: Ledger, tenant_id: str, *, writable: bool, actor: Actor = SYSTEM) -> bool:
    """Open or close a tenant for operations that write to it; False if there is no such tenant."""
    action = "tenant.open_for_writing" if writable else "tenant.close_for_writing"
    return _update(ledger, tenant_id, action, actor, writable=writable)


def suspend_tenant(ledger: Ledger, tenant_id: str, *, actor: Actor = SYSTEM) -> bool:
    """Let no operation run on a tenant until it is resumed; False if there is none."""
    now = SQL(ledger.dialect.now_ms)
    return _update(ledger, tenant_id, "tenant.suspend", actor, suspended_at=now)


def resume_tenant(ledger: Ledger, tenant_id: str, *, actor: Actor = SYSTEM) -> bool:
    """Let operations run on a tenant again; False if there is none."""
    return _update(ledger, tenant_id, "tenant.resume", actor, suspended_at=None)


def remove_tenant(ledger: Ledger, tenant_id: str, *, actor: Actor = SYSTEM) -> bool:
    """Take a tenant out of use for good; what is recorded of it stays. False if there is none."""
    now = SQL(ledger.dialect.now_ms)
    return _update(ledger, tenant_id, "tenant.remove", actor, removed_at=now)


def audit_on_tenant(
    ledger: Ledger,
    actor: Actor,
    action: str,
    target_kind: str,
    target_id: str,
    *,
    tenant_id: str,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write the audit entry of something that was done to a tenant or to its records."""
    query = Tenant.select(Tenant.workspace_id).where(Tenant.id == tenant_id)
    found = query.first(ledger.database)
    entry = Entry(
        action,
        target_kind,
        target_id,
        workspace_id=None if found is None else found.workspace_id,
        tenant_id=tenant_id,
        after=after,
    )
    write_audit(ledger, actor, [entry])


def _update(ledger: Ledger, tenant_id: str, action: str, actor: Actor, **values: object) -> bool:
    with ledger.transaction():
        moved = (
            Tenant.update(**values)
            .where((Tenant.id == tenant_id) & Tenant.removed_at.is_null())
            .execute(ledger.database)
        )
        if moved:
            audit_on_tenant(ledger, actor, action, "tenant", tenant_id, tenant_id=tenant_id)
    return bool(moved)
