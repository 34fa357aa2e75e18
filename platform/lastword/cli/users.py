"""`lastword users`: who may start runs, and where."""

from __future__ import annotations

import click

from lastword.access import Role
from lastword.cli.opening import open_current, operator_here
from lastword.cli.output import json_option, print_rows
from lastword.errors import LastwordError
from lastword.reading.members import list_members
from lastword.service.members import add_user, disable_user, grant, revoke

_COLUMNS = {
    "user_id": "user",
    "name": "name",
    "workspace_id": "workspace",
    "role": "role",
    "tenants": "only tenants",
    "disabled_at": "disabled",
}


@click.group()
def users() -> None:
    """List people, add them, say what they are in a workspace."""


@users.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every person with their memberships."""
    _, ledger = open_current()
    print_rows(list_members(ledger), _COLUMNS, as_json=as_json, empty="nobody yet")


@users.command("add")
@click.argument("user_id")
@click.option("--name", help="What people read; the id by default.")
def add_command(user_id: str, name: str | None) -> None:
    """Add a person. They may do nothing before they are a member of a workspace."""
    _, ledger = open_current()
    if not add_user(ledger, user_id=user_id, name=name or user_id, actor=operator_here()):
        raise LastwordError(f"user {user_id!r} exists already")
    click.echo(f"added user {user_id}")


@users.command("grant")
@click.argument("user_id")
@click.argument("role", type=click.Choice([role.value for role in Role]))
@click.option("--workspace", default="default", show_default=True)
@click.option("--tenant", "tenants", multiple=True, help="Only this tenant; repeatable.")
def grant_command(user_id: str, role: str, workspace: str, tenants: tuple[str, ...]) -> None:
    """Make a person a member of a workspace, in this role and no other."""
    _, ledger = open_current()
    grant(
        ledger,
        user_id=user_id,
        workspace_id=workspace,
        role=Role(role),
        tenants=tenants or None,
        actor=operator_here(),
    )
    click.echo(f"{user_id} is {role} of {workspace}")


@users.command("revoke")
@click.argument("user_id")
@click.option("--workspace", default="default", show_default=True)
def revoke_command(user_id: str, workspace: str) -> None:
    """End a membership. Runs that the person has started and that wait are blocked."""
    _, ledger = open_current()
    if not revoke(ledger, user_id=user_id, workspace_id=workspace, actor=operator_here()):
        raise LastwordError(f"user {user_id!r} is no member of {workspace!r}")
    click.echo(f"{user_id} is no member of {workspace} any more")


@users.command("disable")
@click.argument("user_id")
def disable_command(user_id: str) -> None:
    """Let a person do nothing any more."""
    _, ledger = open_current()
    if not disable_user(ledger, user_id, actor=operator_here()):
        raise LastwordError(f"there is no user {user_id!r} who is not disabled yet")
    click.echo(f"disabled user {user_id}")
