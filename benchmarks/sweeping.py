"""How long a sweep takes, and that it follows the active runs and not the history beside them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks.backlog import Backlog, fill
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
        rounds: sweeps of each ledger, in turns, of which the median is taken.
        judged: whether a ratio out of its bound is a failure.
    """
    for database in databases:
        with ExitStack() as stands:
            ledgers = [
                stands.enter_context(_swept(database, total - active, active))
                for total in (least, *totals)
            ]
            for runs in (active, active // 100):
                short, *longs = _in_turns(ledgers, runs, rounds)
                for total, long in zip(totals, longs, strict=True):
                    name = f"sweep, {runs:,} active among {total:,} rows, {database}"
                    found = compared(f"{name}, beside {least:,}", "s", long, short)
                    bounded = at_most(found, MOST_BESIDE_HISTORY)
                    # The one over a hundredth took a few milliseconds: too short to be judged.
                    is_long = judged and runs == active
                    yield bounded if is_long else unjudged(bounded)


@contextmanager
def _swept(database: str, history: int, active: int) -> Iterator[tuple[Backlog, GenericReconciler]]:
    with stand(database) as here:
        yield (
            fill(here, history=history, active=active),
            generic_reconciler(here.config, here.ledger),
        )


def _in_turns(
    ledgers: Sequence[tuple[Backlog, GenericReconciler]], active: int, rounds: int
) -> list[list[float]]:
    for backlog, reconciler in ledgers:
        backlog.keep_first(active)
        # The first one warms caches, and lets PostgreSQL settle on a plan.
        _sweep(reconciler, active)
    turns = [[_sweep(reconciler, active) for _, reconciler in ledgers] for _ in range(rounds)]
    return [list(seconds) for seconds in zip(*turns, strict=True)]


def _sweep(reconciler: GenericReconciler, active: int) -> float:
    began = time.perf_counter()
    report = reconciler.sweep()
    took = time.perf_counter() - began
    assert (report.found, report.lost_workers, dict(report.acted)) == (active, 0, {}), report
    return took
