"""`lastword tenants`: what operations are done to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import click

from lastword.cli.opening import open_current, operator_here
from lastword.cli.output import json_option, print_rows
from lastword.errors import LastwordError
from lastword.reading.tenants import list_tenants
from lastword.service.tenants import (
    add_tenant,
    remove_tenant,
    resume_tenant,
    set_writable,
    suspend_tenant,
)


@click.group()
def tenants() -> None:
    """List tenants, add one, say what may be done to it."""


@tenants.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every tenant with its workspace."""
    _, ledger = open_current()
    rows = [asdict(tenant) for tenant in list_tenants(ledger)]
    columns = {
        "tenant_id": "tenant",
        "name": "name",
        "workspace_id": "workspace",
        "state": "state",
        "writable": "writable",
    }
    print_rows(rows, columns, as_json=as_json, empty="no tenant yet")


@tenants.command("add")
@click.argument("tenant_id")
@click.option("--name", help="What people read; the id by default.")
@click.option("--workspace", default="default", show_default=True, help="Whose tenant it is.")
def add_command(tenant_id: str, name: str | None, workspace: str) -> None:
    """Add a tenant; its id is the provider's id of the tenant."""
    _, ledger = open_current()
    if not add_tenant(
        ledger,
        tenant_id=tenant_id,
        name=name or tenant_id,
        workspace_id=workspace,
        actor=operator_here(),
    ):
        raise LastwordError(f"tenant {tenant_id!r} exists already")
    click.echo(f"added tenant {tenant_id}")


_CHANGES: dict[str, Callable[..., bool]] = {
    "writable": partial(set_writable, writable=True),
    "read-only": partial(set_writable, writable=False),
    "suspended": suspend_tenant,
    "resumed": resume_tenant,
    "removed": remove_tenant,
}


@tenants.command("set")
@click.argument("tenant_id")
@click.argument("change", type=click.Choice(list(_CHANGES)))
def set_command(tenant_id: str, change: str) -> None:
    """Say what may be done to a tenant from now on.

    Runs that are queued are judged by it when their turn comes. What is removed stays removed; its
    records are kept.
    """
    _, ledger = open_current()
    if not _CHANGES[change](ledger, tenant_id, actor=operator_here()):
        raise LastwordError(f"no tenant {tenant_id!r}", mend="see `lastword tenants list`")
    click.echo(f"tenant {tenant_id} is {change}")
