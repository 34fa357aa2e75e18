"""`lastword sweeps`: who watches, and what the scheduler's jobs last did."""

from __future__ import annotations

import click

from lastword.cli.opening import open_current
from lastword.cli.output import json_option, print_json, print_rows
from lastword.reading.scheduler import list_sweeps, read_leader
from lastword.times import to_iso

_COLUMNS = {
    "job": "job",
    "result": "result",
    "ended_at": "ended",
    "succeeded_at": "last success",
    "duration_ms": "ms",
    "found": "found",
    "acted": "acted",
    "skipped": "skipped",
    "lost_races": "lost races",
    "error": "error",
}


@click.command()
@json_option
def sweeps(as_json: bool) -> None:
    """The scheduler that leads, and the last sweep of each of its jobs."""
    _, ledger = open_current()
    leader = read_leader(ledger)
    rows = [
        {**row, "ended_at": to_iso(row["ended_at"]), "succeeded_at": to_iso(row["succeeded_at"])}
        for row in list_sweeps(ledger)
    ]
    if as_json:
        print_json({"leader": leader, "sweeps": rows})
        return
    place = f"{leader['host']} pid {leader['pid']}, {leader['lease']}" if leader else "nobody"
    click.echo(f"leading: {place}")
    print_rows(rows, _COLUMNS, as_json=False, empty="no sweep yet")
