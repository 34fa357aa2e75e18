"""Workspaces and tenants: adding them, suspending them, opening them for writing."""

from __future__ import annotations

from peewee import SQL

from lastword.service.members import require_text
from lastword.storage.access_tables import Tenant, Workspace
from lastword.storage.ledger import Ledger


def add_tenant(ledger: Ledger, *, tenant_id: str, name: str, workspace_id: str = "default") -> bool:
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
    return bool(added)


def set_writable(ledger: Ledger, tenant_id: str, *, writable: bool) -> bool:
    """Open or close a tenant for operations that write to it; False if there is no such tenant."""
    return _update(ledger, tenant_id, writable=writable)


def suspend_tenant(ledger: Ledger, tenant_id: str) -> bool:
    """Let no operation run on a tenant until it is resumed; False if there is none."""
    return _update(ledger, tenant_id, suspended_at=SQL(ledger.dialect.now_ms))


def resume_tenant(ledger: Ledger, tenant_id: str) -> bool:
    """Let operations run on a tenant again; False if there is none."""
    return _update(ledger, tenant_id, suspended_at=None)


def remove_tenant(ledger: Ledger, tenant_id: str) -> bool:
    """Take a tenant out of use for good; what is recorded of it stays. False if there is none."""
    return _update(ledger, tenant_id, removed_at=SQL(ledger.dialect.now_ms))


def _update(ledger: Ledger, tenant_id: str, **values: object) -> bool:
    with ledger.transaction():
        moved = (
            Tenant.update(**values)
            .where((Tenant.id == tenant_id) & Tenant.removed_at.is_null())
            .execute(ledger.database)
        )
    return bool(moved)
