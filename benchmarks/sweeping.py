"""How long a sweep takes, and that it follows the active runs and not the history beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from benchmarks.backlog import fill
from benchmarks.rows import Row, at_most, compared, unjudged
from benchmarks.stand import stand
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.timetable import generic_reconciler

#: How much longer a sweep over as many active runs may take beside a long history than a short one.
MOST_BESIDE_HISTORY = 1.2


def measure_sweep(
    databases: Sequence[str],
    *,
    active: int,
    least: int,
    totals: Sequence[int],
    rounds: int,
    judged: bool,
) -> Iterator[Row]:
    """Sweeps over `active` runs, and over a hundredth of them, beside histories of several sizes.

    Args:
        databases: what to measure on.
        active: runs that are not completed.
        least: runs in the ledger that the others are compared to, those that are active with them.
        totals: runs in the ledger, likewise.
        rounds: sweeps of which the median is taken.
        judged: whether a ratio out of its bound is a failure.
    """
    for database in databases:
        short = _measure(database, least - active, active, rounds)
        for total in totals:
            long = _measure(database, total - active, active, rounds)
            for runs in (active, active // 100):
                name = f"sweep, {runs:,} active among {total:,} rows, {database}, beside {least:,}"
                found = compared(name, "s", long[runs], short[runs])
                # The one over a hundredth took a few milliseconds: too short to be judged.
                is_long = judged and runs == active
                bounded = at_most(found, MOST_BESIDE_HISTORY)
                yield bounded if is_long else unjudged(bounded)


def _measure(database: str, history: int, active: int, rounds: int) -> dict[int, list[float]]:
    few = active // 100
    with stand(database) as here:
        backlog = fill(here, history=history, active=active)
        reconciler = generic_reconciler(here.config, here.ledger)
        many_s = _sweeps(reconciler, active, rounds)
        backlog.keep_first(few)
        return {active: many_s, few: _sweeps(reconciler, few, rounds)}


def _sweeps(reconciler: GenericReconciler, active: int, rounds: int) -> list[float]:
    # The first one warms caches, and lets PostgreSQL settle on a plan.
    return [_sweep(reconciler, active) for _ in range(rounds + 1)][1:]


def _sweep(reconciler: GenericReconciler, active: int) -> float:
    began = time.perf_counter()
    report = reconciler.sweep()
    took = time.perf_counter() - began
    assert (report.found, report.lost_workers, dict(report.acted)) == (active, 0, {}), report
    return took
