"""The command line of the operations' records: connections, baselines, restores and reviews."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from typing import Any

import click

from lastword.cli.opening import open_current, operator_here
from lastword.cli.output import json_option, print_rows
from lastword.errors import InvalidInputs, LastwordError
from lastword.reading.tenants import find_tenant
from lastword.storage.ledger import Ledger, Row
from lastword_jobs.backups import BackupSet, Restore

#: Where the secret of an application is taken from: never from the command's own words.
SECRET_VARIABLE = "CONNECTION_SECRET"  # noqa: S105 - a name

_RESTORE_COLUMNS = {
    "id": "restore",
    "tenant_id": "tenant",
    "backup_set_id": "backup set",
    "status": "status",
    "fingerprint": "fingerprint",
    "confirmed_by": "confirmed by",
}


@click.command("connect")
@click.argument("tenant_id")
@click.option("--client-id", required=True, help="The application's id.")
def connect(tenant_id: str, client_id: str) -> None:
    """Say with which application a tenant is reached. Its secret is asked for, and kept sealed.

    A script gives it in the variable that is named after the application's secret
    (CONNECTION_SECRET), which is no setting and is read by this command alone.
    """
    from lastword_jobs.provider.connections import connect_tenant
    from lastword_jobs.provider.sealing import Sealer

    secret = os.environ.pop(SECRET_VARIABLE, None)
    config, ledger = open_current()
    find_tenant(ledger, tenant_id)
    sealer = Sealer.of(config)
    connect_tenant(
        ledger,
        sealer,
        tenant_id=tenant_id,
        client_id=client_id,
        secret=secret or getpass.getpass("Secret of the application: "),
        actor=operator_here(),
    )
    click.echo(f"tenant {tenant_id} is reached as {client_id}")


@click.group()
def baselines() -> None:
    """Baseline profiles: what tenants are meant to be like; and what was found."""


@baselines.command("add")
@click.argument("name")
@click.option("--type", "types", multiple=True, required=True, help="A type; repeatable.")
@click.option("--workspace", default="default", show_default=True, help="Whose profile it is.")
@click.option(
    "--mode",
    type=click.Choice(["content", "meta"]),
    default="content",
    help="Compare content and assignments, or only what a listing has.",
)
def add_baseline(name: str, types: tuple[str, ...], workspace: str, mode: str) -> None:
    """Add a profile; `lastword start baseline_capture --input profile_id=ID` captures it."""
    from lastword_jobs.baselines.records import add_profile

    _, ledger = open_current()
    profile = {"workspace_id": workspace, "name": name, "mode": mode}
    click.echo(add_profile(ledger, types=types, actor=operator_here(), **profile))


@baselines.command("findings")
@click.argument("tenant_id")
@click.option(
    "--status",
    type=click.Choice(["open", "accepted", "resolved"]),
    default="open",
    help="Only these.",
)
@json_option
def findings(tenant_id: str, status: str, as_json: bool) -> None:
    """What is not as a baseline has it."""
    from lastword_jobs.baselines.findings import findings_of

    _, ledger = open_current()
    find_tenant(ledger, tenant_id)
    names = ("id", "severity", "change", "kind", "type", "name")
    rows = [
        {name: getattr(item, name) for name in names}
        for item in findings_of(ledger, tenant_id, status=status)
    ]
    print_rows(rows, {name: name for name in names}, as_json=as_json, empty="nothing")


@click.group()
def restores() -> None:
    """Restores: prepare one, look at its preview, confirm it."""


@restores.command("prepare")
@click.argument("backup_set_id")
@click.option("--tenant", required=True, help="The tenant to write to.")
@click.option("--type", "types", multiple=True, help="Only this type; repeatable.")
def prepare(backup_set_id: str, tenant: str, types: tuple[str, ...]) -> None:
    """Prepare the restore of a backup set; its id. Nothing is read or written yet.

    `lastword start restore.execute --tenant T --input restore_id=ID --input dry_run=true` previews
    it.
    """
    from lastword_jobs.restores.preparing import prepare_restore

    _, ledger = open_current()
    find_tenant(ledger, tenant)
    click.echo(
        prepare_restore(
            ledger,
            tenant_id=tenant,
            backup_set_id=backup_set_id,
            types=types or None,
            actor=operator_here(),
        )
    )


@restores.command("list")
@json_option
def list_restores(as_json: bool) -> None:
    """Every restore, the latest first."""
    _, ledger = open_current()
    query = Restore.select().order_by(Restore.created_at.desc(), Restore.id.desc())
    print_rows(_rows(ledger, query), _RESTORE_COLUMNS, as_json=as_json, empty="no restore yet")


@restores.command("show")
@click.argument("restore_id")
@json_option
def show_restore(restore_id: str, as_json: bool) -> None:
    """The items of a restore: what is to be done with each, and how far it has come."""
    from lastword_jobs.restores.records import find_restore, items_of

    _, ledger = open_current()
    if find_restore(ledger, restore_id) is None:
        raise LastwordError(f"no restore {restore_id!r}", mend="see `lastword restores list`")
    names = ("type", "name", "decision", "state", "target_id", "reason", "message", "assignments")
    rows = [{name: getattr(item, name) for name in names} for item in items_of(ledger, restore_id)]
    print_rows(rows, {name: name for name in names}, as_json=as_json, empty="not previewed yet")


@restores.command("confirm")
@click.argument("restore_id")
@click.argument("fingerprint")
def confirm(restore_id: str, fingerprint: str) -> None:
    """Say that the preview of this fingerprint is what is wanted."""
    from lastword_jobs.restores.preparing import confirm_restore

    _, ledger = open_current()
    actor = operator_here()
    confirm_restore(ledger, restore_id, fingerprint=fingerprint, by=actor.name, actor=actor)
    click.echo(f"confirmed {restore_id}")


@restores.command("continue")
@click.argument("restore_id")
def go_on(restore_id: str) -> None:
    """Prepare a restore that goes on with one that ended before its work was done; its id.

    It is confirmed as the first one was, with the same fingerprint.
    """
    from lastword_jobs.restores.preparing import continue_restore

    _, ledger = open_current()
    click.echo(continue_restore(ledger, restore_id, actor=operator_here()))


@click.command("backups")
@click.option("--tenant", help="Only this tenant.")
@json_option
def backups(tenant: str | None, as_json: bool) -> None:
    """Backup sets, the latest first."""
    _, ledger = open_current()
    query = BackupSet.select().order_by(BackupSet.created_at.desc(), BackupSet.id.desc())
    rows = [row for row in _rows(ledger, query) if tenant in (None, row["tenant_id"])]
    columns = {"id": "backup set", "tenant_id": "tenant", "status": "status", "slot": "slot"}
    print_rows(rows, columns, as_json=as_json, empty="no backup yet")


@click.command("publish")
@click.argument("review_id")
def publish(review_id: str) -> None:
    """Publish a review; from then on it stays as it is."""
    from lastword_jobs.reviews.records import publish_review

    _, ledger = open_current()
    actor = operator_here()
    if not publish_review(ledger, review_id, by=actor.name, actor=actor):
        raise InvalidInputs(f"review {review_id!r} is none that is ready")
    click.echo(f"published {review_id}")


def _rows(ledger: Ledger, query: Any) -> Sequence[Row]:
    with ledger.session():
        return list(query.dicts().execute(ledger.database))
