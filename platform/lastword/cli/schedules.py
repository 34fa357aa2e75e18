"""`lastword schedules`: what is started again and again, and what became of its slots."""

from __future__ import annotations

import click

from lastword.cli.opening import open_current, operator_here
from lastword.cli.output import json_option, print_rows
from lastword.cron import read_cron
from lastword.errors import LastwordError
from lastword.reading.scheduler import list_schedules, list_slots
from lastword.service.scheduling import ScheduleService
from lastword.storage.ledger import Ledger, Row

_COLUMNS = {
    "name": "schedule",
    "operation": "operation",
    "tenant_id": "tenant",
    "cron": "cron",
    "timezone": "time zone",
    "next_at": "next slot",
    "paused_at": "paused",
    "last_slot_at": "last slot",
    "last_result": "result",
    "error": "error",
}
_SLOT_COLUMNS = {
    "slot_at": "slot",
    "result": "result",
    "run_id": "run",
    "status": "status",
    "outcome": "outcome",
}


@click.group()
def schedules() -> None:
    """List schedules, add, pause, resume and remove one."""


@schedules.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Every schedule with its next and its last slot."""
    _, ledger = open_current()
    print_rows(list_schedules(ledger), _COLUMNS, as_json=as_json, empty="no schedule yet")


@schedules.command("slots")
@click.argument("name")
@json_option
def slots_command(name: str, as_json: bool) -> None:
    """The latest slots of a schedule, and what became of them."""
    _, ledger = open_current()
    _find(ledger, name)
    print_rows(list_slots(ledger, name), _SLOT_COLUMNS, as_json=as_json, empty="no slot yet")


@schedules.command("pause")
@click.argument("name")
def pause_command(name: str) -> None:
    """Start nothing of a schedule until it is resumed."""
    _, ledger = open_current()
    _find(ledger, name)
    paused = ScheduleService(ledger).pause(name, actor=operator_here())
    click.echo(f"paused {name}" if paused else f"{name} is paused already")


@schedules.command("resume")
@click.argument("name")
def resume_command(name: str) -> None:
    """Go on with a schedule at its next slot; nothing is caught up."""
    _, ledger = open_current()
    found = _find(ledger, name)
    cron = read_cron(found["cron"], found["timezone"])
    next_at = cron.next_after(found["now"])
    ScheduleService(ledger).resume(name, next_at=next_at, actor=operator_here())
    click.echo(f"resumed {name}")


@schedules.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a schedule with its slots; its runs stay."""
    _, ledger = open_current()
    _find(ledger, name)
    ScheduleService(ledger).remove(name, actor=operator_here())
    click.echo(f"removed {name}")


def _find(ledger: Ledger, name: str) -> Row:
    with ledger.session():
        rows = ledger.execute(
            f"SELECT cron, timezone, {ledger.dialect.now_ms} AS now FROM lastword_schedule "
            f"WHERE name = {ledger.dialect.param}",
            name,
        )
    if not rows:
        raise LastwordError(f"no schedule {name!r}", mend="see `lastword schedules list`")
    return rows[0]
