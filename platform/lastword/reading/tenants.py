"""Workspaces and tenants: what exists, for whoever is asked to work on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastword.errors import UnknownTenant
from lastword.reading.viewers import Scope
from lastword.storage.access_tables import Tenant
from lastword.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant and the workspace it belongs to.

    Attributes:
        state: `active`, `suspended` or `removed`.
        writable: whether operations may write to it.
    """

    tenant_id: str
    workspace_id: str
    name: str
    state: str
    writable: bool


def find_tenant(ledger: Ledger, tenant_id: str) -> TenantRow:
    """The tenant of that id.

    Raises:
        UnknownTenant: there is none.
    """
    query = Tenant.select().where(Tenant.id == tenant_id)
    with ledger.session():
        found = query.first(ledger.database)
    if found is None:
        raise UnknownTenant(
            f"no tenant {tenant_id!r}",
            mend="see `lastword tenants list`, or add it with `lastword tenants add`",
        )
    return _row(found)


def list_tenants(ledger: Ledger) -> list[TenantRow]:
    """Every tenant, by name."""
    query = Tenant.select().order_by(Tenant.name, Tenant.id)
    with ledger.session():
        found = list(query.execute(ledger.database))
    return [_row(tenant) for tenant in found]


def list_tenants_in(ledger: Ledger, scopes: Sequence[Scope], *, limit: int) -> list[TenantRow]:
    """The tenants that a reader may see, by name."""
    query = Tenant.select().order_by(Tenant.name, Tenant.id)
    whole = [scope.workspace_id for scope in scopes if scope.tenants is None]
    some = [tenant for scope in scopes if scope.tenants for tenant in scope.tenants]
    query = query.where(Tenant.workspace_id.in_(whole) | Tenant.id.in_(some)).limit(limit)
    with ledger.session():
        found = list(query.execute(ledger.database))
    rows = [_row(tenant) for tenant in found]
    # A tenant that has moved is its new workspace's.
    return [
        row
        for row in rows
        if any(scope.covers(row.workspace_id, row.tenant_id) for scope in scopes)
    ]


def _row(tenant: Tenant) -> TenantRow:
    suspended = "suspended" if tenant.suspended_at is not None else "active"
    state = "removed" if tenant.removed_at is not None else suspended
    return TenantRow(tenant.id, tenant.workspace_id, tenant.name, state, bool(tenant.writable))
