"""`lastword users`: who may start runs, and where."""

from __future__ import annotations

import getpass
import sys

import click

from lastword.access import Role
from lastword.cli.opening import open_current, operator_here
from lastword.cli.output import json_option, print_rows
from lastword.errors import LastwordError
from lastword.reading.members import list_members
from lastword.service.api_tokens import new_token
from lastword.service.members import add_user, disable_user, grant, revoke, set_overseer
from lastword.service.sessions import new_link
from lastword.service.sign_in import is_allowed, set_password_hash

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
@click.option("--workspace", default="default", show_default=True, help="The workspace's name.")
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
@click.option("--workspace", default="default", show_default=True, help="The workspace's name.")
def revoke_command(user_id: str, workspace: str) -> None:
    """End a membership. Runs that the person has started and that wait are blocked."""
    _, ledger = open_current()
    if not revoke(ledger, user_id=user_id, workspace_id=workspace, actor=operator_here()):
        raise LastwordError(f"user {user_id!r} is no member of {workspace!r}")
    click.echo(f"{user_id} is no member of {workspace} any more")


@users.command("oversee")
@click.argument("user_id")
@click.argument("word", type=click.Choice(["yes", "no"]))
def oversee_command(user_id: str, word: str) -> None:
    """Say whether a person sees the runs that belong to no workspace, and their audit log."""
    _, ledger = open_current()
    if not set_overseer(ledger, user_id, oversees=word == "yes", actor=operator_here()):
        raise LastwordError(f"no user {user_id!r}", mend="see `lastword users list`")
    click.echo(f"{user_id} {'oversees' if word == 'yes' else 'does not oversee'} the installation")


@users.command("password")
@click.argument("user_id")
def password_command(user_id: str) -> None:
    """Give a person a password, which is asked for, and end their sessions.

    A script gives it on the standard input.
    """
    from lastword.web.passwords import hash_password

    _, ledger = open_current()
    asked = sys.stdin.readline().rstrip("\n") if not sys.stdin.isatty() else getpass.getpass()
    hashed = hash_password(asked)
    if not set_password_hash(ledger, user_id, hashed, actor=operator_here()):
        raise LastwordError(f"no user {user_id!r}", mend="see `lastword users list`")
    click.echo(f"{user_id} has a new password")


@users.command("link")
@click.argument("user_id")
def link_command(user_id: str) -> None:
    """Print a link that signs a person in, once, within a quarter of an hour."""
    config, ledger = open_current()
    if not is_allowed(ledger, user_id):
        raise LastwordError(f"no user {user_id!r} who may sign in", mend="see `users list`")
    origin = config.web_url or f"http://{config.web_addr}"
    click.echo(f"{origin}/admin/sign-in/link?token={new_link(ledger, user_id)}")


@users.command("token")
@click.argument("user_id")
@click.option("--name", required=True, help="What people call it.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=["operations.view"],
    show_default=True,
    help="A capability that it gives; repeatable.",
)
@click.option("--days", type=int, default=30, show_default=True, help="How long it is good for.")
def token_command(user_id: str, name: str, scopes: tuple[str, ...], days: int) -> None:
    """Print a token for the API, once. It may do a part of what its person may."""
    _, ledger = open_current()
    token = new_token(
        ledger, user_id=user_id, name=name, scopes=scopes, days=days, actor=operator_here()
    )
    click.echo(token)


@users.command("disable")
@click.argument("user_id")
def disable_command(user_id: str) -> None:
    """Let a person do nothing any more."""
    _, ledger = open_current()
    if not disable_user(ledger, user_id, actor=operator_here()):
        raise LastwordError(f"there is no user {user_id!r} who is not disabled yet")
    click.echo(f"disabled user {user_id}")
