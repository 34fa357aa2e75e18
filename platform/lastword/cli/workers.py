"""`lastword workers`: who is alive and which build they run; finishing and restarting them."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from lastword.cli.opening import open_current
from lastword.cli.output import json_option, print_json, print_rows
from lastword.config import Config
from lastword.errors import LastwordError
from lastword.reading.workers import list_workers
from lastword.restarting import MOST_WORKERS, Drained, Restarter
from lastword.storage.ledger import Ledger

#: Seconds that whatever keeps a worker gets to start another; supervisors wait longer each time.
REPLACED_WITHIN_S = 120.0

_COLUMNS = {
    "id": "worker",
    "host": "host",
    "pid": "pid",
    "version": "version",
    "revision": "revision",
    "state": "state",
    "lease": "lease",
    "started_at": "started",
    "heartbeat_at": "last heartbeat",
    "working": "working on",
}

_which = click.argument("worker", nargs=-1)
_all = click.option("--all", "is_all", is_flag=True, help="Every worker that is alive.")
_within = click.option(
    "--within",
    "within_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long a worker may take to finish; what it was told at its start to be given.",
)


@click.group()
def workers() -> None:
    """List, drain and restart workers."""


@workers.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """The latest workers, live ones first."""
    _, ledger = open_current()
    rows = list_workers(ledger)
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no worker yet")
    if not as_json:
        _say_what_differs(rows)


@workers.command("drain")
@_which
@_all
@_within
@json_option
def drain(worker: tuple[str, ...], is_all: bool, within_s: float | None, as_json: bool) -> None:
    """Let workers finish what they do, take nothing new, and exit with 0.

    WORKER is an id, or the beginning of one. Whatever keeps the workers may start others: to take
    a host out of service, tell that instead, e.g. `systemctl stop`.
    """
    config, ledger = open_current()
    chosen = _chosen(ledger, worker, is_all=is_all)
    restarter = _restarter(config, ledger, chosen, within_s, quiet=as_json)
    _print(restarter.drain(chosen), as_json=as_json)


@workers.command("restart")
@_which
@_all
@_within
@click.option(
    "--replaced-within",
    "replaced_within_s",
    type=click.FloatRange(min=0, min_open=True),
    default=REPLACED_WITHIN_S,
    show_default=True,
    metavar="SECONDS",
    help="How long whatever keeps a worker may take to start another.",
)
@json_option
def restart(
    worker: tuple[str, ...],
    is_all: bool,
    within_s: float | None,
    replaced_within_s: float,
    as_json: bool,
) -> None:
    """Drain workers one after another, each only once the one before has been replaced.

    WORKER is an id, or the beginning of one. Stops at the first that is not replaced, so that a
    build which cannot start takes one worker out of service and no more.
    """
    config, ledger = open_current()
    chosen = _chosen(ledger, worker, is_all=is_all)
    restarter = _restarter(
        config, ledger, chosen, within_s, quiet=as_json, replaced_within_s=replaced_within_s
    )
    _print(list(restarter.restart(chosen)), as_json=as_json)


def _chosen(ledger: Ledger, wanted: Sequence[str], *, is_all: bool) -> list[dict[str, Any]]:
    if bool(wanted) is is_all or "" in wanted:
        raise click.UsageError("Name workers, or say --all.")
    alive = [row for row in list_workers(ledger, limit=MOST_WORKERS) if row["ending"] is None]
    if is_all:
        return sorted(alive, key=lambda row: str(row["started_at"]))
    return [_one(alive, prefix) for prefix in dict.fromkeys(wanted)]


def _one(alive: Sequence[dict[str, Any]], prefix: str) -> dict[str, Any]:
    found = [row for row in alive if row["id"].startswith(prefix)]
    if len(found) == 1:
        return found[0]
    seen = "no live worker" if not found else f"{len(found)} live workers"
    raise LastwordError(
        f"{seen} has an id that begins with {prefix!r}",
        expected="the beginning of the id of one",
        mend="see `lastword workers list`",
    )


def _restarter(
    config: Config,
    ledger: Ledger,
    chosen: Sequence[dict[str, Any]],
    within_s: float | None,
    *,
    quiet: bool,
    replaced_within_s: float = REPLACED_WITHIN_S,
) -> Restarter:
    told = max((row["stop_wait"] or 0.0 for row in chosen), default=0.0)
    # It hears of it with its next heartbeat.
    usual_s = (told or config.stop_wait) + config.lease_ttl
    return Restarter(
        ledger,
        by=getpass.getuser(),
        tell=_keep_quiet if quiet else click.echo,
        drained_within_s=usual_s if within_s is None else within_s,
        replaced_within_s=replaced_within_s,
    )


def _keep_quiet(line: str) -> None:
    del line


def _print(drained: Sequence[Drained], *, as_json: bool) -> None:
    rows = [
        {
            "worker": item.worker["id"],
            "took_s": round(item.took_s, 1),
            "successor": item.successor["id"] if item.successor else None,
        }
        for item in drained
    ]
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo("no worker is alive")


def _say_what_differs(rows: Sequence[dict[str, Any]]) -> None:
    alive = [row for row in rows if row["ending"] is None]
    for key in ("version", "revision"):
        builds = Counter(str(row[key] or "(not said)") for row in alive)
        if len(builds) > 1:
            shown = ", ".join(f"{name} ({count})" for name, count in sorted(builds.items()))
            click.echo(f"not all run the same {key}: {shown}; a deploy is under way or half done")
    unsafe = sum(bool(row["unsafe_timing"]) for row in alive)
    if unsafe:
        click.echo(f"{unsafe} of {len(alive)} were started with --allow-unsafe-timing")
