"""`lastword tenants`: what operations are done to."""

from __future__ import annotations

from dataclasses import asdict

import click

from lastword.cli.opening import open_current
from lastword.cli.output import json_option, print_rows
from lastword.errors import LastwordError
from lastword.reading.tenants import list_tenants
from lastword.service.tenants import add_tenant


@click.group()
def tenants() -> None:
    """List tenants, add one."""


@tenants.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every tenant with its workspace."""
    _, ledger = open_current()
    rows = [asdict(tenant) for tenant in list_tenants(ledger)]
    columns = {"tenant_id": "tenant", "name": "name", "workspace_id": "workspace"}
    print_rows(rows, columns, as_json=as_json, empty="no tenant yet")


@tenants.command("add")
@click.argument("tenant_id")
@click.option("--name", help="What people read; the id by default.")
@click.option("--workspace", default="default", show_default=True)
def add_command(tenant_id: str, name: str | None, workspace: str) -> None:
    """Add a tenant; its id is the provider's id of the tenant."""
    _, ledger = open_current()
    if not add_tenant(ledger, tenant_id=tenant_id, name=name or tenant_id, workspace_id=workspace):
        raise LastwordError(f"tenant {tenant_id!r} exists already")
    click.echo(f"added tenant {tenant_id}")
