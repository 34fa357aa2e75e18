"""The workers: which live, drain or are lost, what each does, whether it is stopped safely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from lastword.access import Capability
from lastword.config import Config
from lastword.reading.runs import RunFilter, list_runs
from lastword.reading.scheduler import list_sweeps, read_leader
from lastword.reading.workers import list_workers
from lastword.storage.ledger import Row
from lastword.times import to_iso
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.shown import shown_run
from lastword.web.words import Badge

#: Workers that are shown at most.
MOST_WORKERS = 100

#: Active runs that are looked through for what workers are doing.
MOST_ACTIVE = 1000

_BADGES = {
    "live": Badge("Live", "pulse", "good", "Its lease is renewed"),
    "draining": Badge("Draining", "clock", "busy", "It takes nothing new and ends what it has"),
    "not_ticking": Badge("Not ticking", "alert", "warn", "Its process lives, its threads do not"),
    "expired": Badge("Silent", "stale", "bad", "Its lease is over; it has not been judged yet"),
    "stopped": Badge("Stopped", "slash", "neutral", "It was stopped and left nothing"),
    "lost": Badge("Lost", "unplug", "bad", "It died or lost contact"),
}


def workers(asked: Asked) -> Response:
    """The page of workers and schedulers."""
    asked.query.only(set())
    return asked.page("workers.html", **_shown(asked))


def live(asked: Asked) -> Response:
    """What changes on it."""
    return asked.fragment("workers_live.html", **_shown(asked))


def _shown(asked: Asked) -> dict[str, Any]:
    # A worker is everybody's; what it is doing is told to those who may see that run.
    mine = RunFilter(status="running", limit=MOST_ACTIVE, scopes=asked.scopes)
    running = list_runs(asked.ledger, mine, labels=asked.site.labels)
    doing = {run["id"]: shown_run(run) for run in running}
    found = list_workers(asked.ledger, limit=MOST_WORKERS)
    return {
        "workers": [_worker(row, doing, asked.config) for row in found],
        "sweeps": [_sweep(row) for row in list_sweeps(asked.ledger)],
        "leader": read_leader(asked.ledger),
        "longest": _longest(asked.config),
    }


def _worker(row: Row, doing: dict[str, dict[str, Any]], config: Config) -> dict[str, Any]:
    state = row["state"] if row["lease"] == "ended" else row["lease"]
    if row["lease"] == "live" and row["state"] == "draining":
        state = "draining"
    seen = [doing[run_id] for run_id in row["working"] if run_id in doing]
    ended = row["lease"] == "ended"
    return {
        **row,
        "badge": _BADGES[state],
        "doing": [] if ended else seen,
        "others": 0 if ended else len(row["working"]) - len(seen),
        "is_safe": _is_safe(row, config),
    }


def _is_safe(row: Row, config: Config) -> bool | None:
    # Whether whatever stops it waits for as long as its longest attempt may take.
    if row["stop_wait"] is None or row["shutdown_timeout"] is None:
        return None
    longest_s, _ = _longest(config)
    return bool(longest_s <= row["shutdown_timeout"] <= row["stop_wait"])


def _longest(config: Config) -> tuple[float, str]:
    limits = [(policy.time_limit, policy.label) for policy in config.policies.values()]
    return max(limits, default=(0.0, ""))


def _sweep(row: Row) -> dict[str, Any]:
    moments: Sequence[str] = ("ended_at", "succeeded_at")
    return {**row, **{name: to_iso(row[name]) for name in moments}}


ENTRIES = (
    Entry("/admin/workers", workers, needs=Capability.VIEW),
    Entry("/admin/workers/live", live, needs=Capability.VIEW),
)
