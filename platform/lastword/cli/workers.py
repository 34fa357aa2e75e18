"""`lastword workers`: who is alive."""

from __future__ import annotations

import click

from lastword.cli.opening import open_current
from lastword.cli.output import json_option, print_rows
from lastword.reading.workers import list_workers

_COLUMNS = {
    "id": "worker",
    "host": "host",
    "pid": "pid",
    "version": "version",
    "lease": "lease",
    "ending": "ending",
    "started_at": "started",
    "heartbeat_at": "last heartbeat",
    "working": "working on",
}


@click.group()
def workers() -> None:
    """List workers."""


@workers.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """The latest workers, live ones first."""
    _, ledger = open_current()
    print_rows(list_workers(ledger), _COLUMNS, as_json=as_json, empty="no worker yet")
