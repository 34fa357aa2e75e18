"""What is counted of the life of runs: each number with the transition that it counts.

Names and labels are those of `lastword.metrics.families`; a histogram is a count for each bucket
and a sum.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from lastword.states import (
    ACCEPT,
    CLAIM,
    RECONCILERS,
    TERMINAL,
    Arrow,
    Source,
)
from lastword.storage.ledger import Ledger, Row

#: Upper bounds of the buckets of each histogram, in seconds.
BUCKETS: Mapping[str, tuple[float, ...]] = {
    "run_queue_wait": (0.1, 0.5, 1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200),
    "run_duration": (0.5, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 86400),
    "reconcile_lag": (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600),
    "sweep_duration": (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60),
    "worker_drain": (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
    "heartbeat_write": (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
}

#: Who gave a run its last word, by the source.
RESOLVED_BY: Mapping[Source, str] = {
    Source.START: "gate",
    Source.GATE: "gate",
    Source.WORKER: "worker",
    Source.BRIDGE: "bridge",
    Source.CHILDREN: "children",
    Source.OPERATOR: "operator",
    **dict.fromkeys(RECONCILERS, "reconciler"),
}


def observe(ledger: Ledger, name: str, labels: tuple[str, ...], seconds: float) -> None:
    """Add one observation to a histogram. Call it in a transaction."""
    observe_all(ledger, name, labels, [seconds])


def observe_all(
    ledger: Ledger, name: str, labels: tuple[str, ...], observed: Sequence[float]
) -> None:
    """Add observations, in seconds, to a histogram. Call it in a transaction."""
    bounds = BUCKETS[name]
    seconds = [max(0.0, one) for one in observed]
    for at, number in Counter(bisect_left(bounds, one) for one in seconds).items():
        bucket = f"{bounds[at]:g}" if at < len(bounds) else "+Inf"
        ledger.measure(f"{name}_bucket", (*labels, bucket), number)
    ledger.measure(f"{name}_sum_us", labels, sum(round(one * 1_000_000) for one in seconds))


class Timed:
    """How long a transaction took, commit included: told with the next one.

    Args:
        name: the histogram.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = 0.0
        self._last_s: float | None = None

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._last_s = time.monotonic() - self._began if kind is None else None

    def observe_last(self, ledger: Ledger) -> None:
        """Add the last one, if there was one that succeeded. Call it in a transaction."""
        if self._last_s is not None:
            observe(ledger, self._name, (), self._last_s)


def measure_moves(
    ledger: Ledger,
    arrow: Arrow,
    moved: Sequence[Row],
    *,
    by: Source,
    told: Mapping[str, Mapping[str, Any]],
) -> None:
    """Count transitions. Call it in the transaction that made them.

    Args:
        ledger: where they were made.
        arrow: which.
        moved: the rows of the runs after it.
        by: who moved them.
        told: what was said of each.
    """
    if not arrow.origins:
        made = Counter((row["operation"], _trigger(row)) for row in moved)
        for labels, number in made.items():
            ledger.measure("runs_created", labels, number)
    if arrow is CLAIM:
        for (operation,), rows in _grouped(moved, "operation").items():
            waited = [(row["claimed_at"] - row["available_at"]) / 1000 for row in rows]
            observe_all(ledger, "run_queue_wait", (operation,), waited)
    if arrow.target in TERMINAL:
        _measure_ends(ledger, moved, by)
    if arrow.target in TERMINAL and by in RECONCILERS:
        for row in moved:
            reason = str(row["reason"] or "none")
            ledger.measure("runs_reconciled", (row["operation"], reason))
            observe(ledger, "reconcile_lag", (reason,), _late_s(told.get(row["id"], {})))


def _measure_ends(ledger: Ledger, ended: Sequence[Row], by: Source) -> None:
    resolved_by = RESOLVED_BY[by]
    for labels, rows in _grouped(ended, "operation", "outcome").items():
        ledger.measure("runs_completed", (*labels, resolved_by), len(rows))
        lasted = [
            (row["changed_at"] - row["started_at"]) / 1000
            for row in rows
            if row["started_at"] is not None
        ]
        if lasted:
            observe_all(ledger, "run_duration", labels, lasted)


def _grouped(rows: Sequence[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    groups: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups


def _trigger(row: Row) -> str:
    if row["retry_of"] is not None:
        return "rerun"
    if row["parent_id"] is not None:
        return "parent"
    if '"schedule_id"' in row["context"]:
        return "schedule"
    return "application" if row["initiator_id"] is None else "person"


def _late_s(told: Mapping[str, Any]) -> float:
    # For how long what was found had been so: beyond the limit, where there was one.
    text = told.get("reconciliation")
    found: dict[str, Any] = json.loads(text) if isinstance(text, str) else {}
    return float(found.get("age_s") or 0.0) - float(found.get("threshold_s") or 0.0)


assert ACCEPT.origins == frozenset(), "what has no origin is a run that is made"
