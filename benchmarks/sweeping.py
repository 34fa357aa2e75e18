"""How long a sweep takes, and that it follows the active runs and not the history beside them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.backlog import fill
from benchmarks.stand import stand
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.timetable import generic_reconciler

#: How much longer a sweep may take beside the history than without it.
BOUND = 2.0


def measure_sweep(
    databases: Sequence[str], *, total: int, active: int, rounds: int
) -> list[dict[str, Any]]:
    """Sweeps over `active` runs, and over a hundredth of them, with a history beside and without.

    Args:
        databases: what to measure on.
        total: runs in the ledger, history and active ones together.
        active: those of them that are not completed.
        rounds: sweeps of which the median is taken.
    """
    rows = []
    for database in databases:
        alone, beside = [
            _measure(database, history, active, rounds) for history in (0, total - active)
        ]
        for runs in (active, active // 100):
            name = f"sweep, {runs:,} active among {total - active + runs:,} runs, {database}"
            rows.append({**_row(name, beside[runs], alone[runs]), "runs": rounds})
        # The last took a few milliseconds: to be shown, too short to be judged.
        within = beside[active] / alone[active] < BOUND
        rows[-2] |= {"bound": f"ratio {BOUND:g}", "within": within}
    return rows


def _row(name: str, beside_s: float, alone_s: float) -> dict[str, Any]:
    return {
        "name": name,
        "unit": "s",
        "value": round(beside_s, 4),
        "baseline": round(alone_s, 4),
        "ratio": round(beside_s / alone_s, 2),
    }


def _measure(database: str, history: int, active: int, rounds: int) -> dict[int, float]:
    few = active // 100
    with stand(database) as here:
        backlog = fill(here, history=history, active=active)
        reconciler = generic_reconciler(here.config, here.ledger)
        many_s = _sweeps(reconciler, active, rounds)
        backlog.keep_first(few)
        return {active: many_s, few: _sweeps(reconciler, few, rounds)}


def _sweeps(reconciler: GenericReconciler, active: int, rounds: int) -> float:
    # The first one warms caches, and lets PostgreSQL settle on a plan.
    return statistics.median([_sweep(reconciler, active) for _ in range(rounds + 1)][1:])


def _sweep(reconciler: GenericReconciler, active: int) -> float:
    began = time.perf_counter()
    report = reconciler.sweep()
    took = time.perf_counter() - began
    assert (report.found, report.lost_workers, dict(report.acted)) == (active, 0, {}), report
    return took


if __name__ == "__main__":
    print(json.dumps(measure_sweep(["sqlite", "postgresql"], total=50_000, active=1_000, rounds=3)))  # noqa: T201
