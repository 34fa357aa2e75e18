"""How long a scrape takes over a long history and many active runs, and how many series it has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

from benchmarks.backlog import fill
from benchmarks.rows import Row, row
from benchmarks.stand import Stand, stand
from lastword.metrics.collecting import LedgerCollector
from lastword.metrics.exposing import exposition

#: Milliseconds that a scrape may take.
BOUND_MS = 100.0


def measure_scrape(
    databases: Sequence[str], *, total: int, active: int, rounds: int
) -> Iterator[Row]:
    """Scrapes without their cache.

    Args:
        databases: what to measure on.
        total: runs in the ledger.
        active: those of them that are not completed.
        rounds: scrapes of which the median is taken.
    """
    for database in databases:
        with stand(database) as here:
            fill(here, history=total - active, active=active)
            took_ms, series = _measured(here, rounds)
            name = f"scrape, {active:,} active among {total:,} runs, {database}"
            bound = {"bound": f"{BOUND_MS:g} ms", "within": took_ms < BOUND_MS}
            yield row(name, "ms", took_ms, runs=rounds, series=series, **bound)


def _measured(here: Stand, rounds: int) -> tuple[float, int]:
    collector = LedgerCollector(here.config, here.ledger, kept_s=0.0)
    took, text = [], b""
    for _ in range(rounds + 1):
        began = time.perf_counter()
        text = exposition([collector])
        took.append((time.perf_counter() - began) * 1000)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return statistics.median(took[1:]), series
