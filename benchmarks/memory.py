"""Memory of a worker while it does many jobs: it must not grow.

Read from /proc, so on Linux only.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.rows import Row, at_most, compared, row, unjudged
from benchmarks.stand import Stand, stand
from benchmarks.working_off import (
    Life,
    Workers,
    fill,
    forget_runs,
    wait_until_empty,
    working,
)
from lastword_middleware.broker import redis_client

#: How much more memory there may be in the second half of the jobs than in the first. It goes up
#: and down by some megabytes; what leaks a hundred bytes a job would be above it.
MOST_GROWTH = 1.05

#: Jobs put into the queue at once, so that Redis and the ledger hold no more than these.
PORTION = 10_000

#: Looks at the memory of a worker that has nothing to do, and seconds between two of them.
LOOKS, LOOK_EVERY_S = 5, 0.1


def measure_memory(databases: Sequence[str], *, jobs: int, judged: bool) -> Iterator[Row]:
    """Resident memory of the process that runs the jobs, 1x8: the medians of both halves.

    Args:
        databases: where the ledger is.
        jobs: in all.
        judged: whether growth is a failure.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        yield row("memory of a worker", "MB", "absent", runs=0, note="there is no /proc here")
        return
    for database in databases:
        with stand(database) as here:
            resident, everything = _measured(here, jobs)
        half = len(resident) // 2
        name = f"memory of a worker over {jobs:,} jobs, second half beside first, 1x8, {database}"
        found = compared(name, "MB", resident[half:], resident[:half])
        found = {**found, "with_sentinel": everything}
        bounded = at_most(found, MOST_GROWTH)
        yield bounded if judged else unjudged(bounded)


def _measured(here: Stand, jobs: int) -> tuple[list[float], float]:
    portion = min(PORTION, jobs // 2)
    resident: list[float] = []
    with (
        working(here, Workers(tracked=True)) as life,
        redis_client(here.config.broker_url) as client,
    ):
        for _ in range(jobs // portion):
            fill(here, client, portion, tracked=True, actor="nothing")
            wait_until_empty(client, life, look_every_s=0.02)
            forget_runs(here)
            resident.append(_resident_mb(life))
        processes = [life.process.pid, *_descendants(life.process.pid)]
        everything = sum(_memory_mb(pid, "Pss") for pid in processes)
    return resident, round(everything, 1)


def _resident_mb(life: Life) -> float:
    looks = []
    for _ in range(LOOKS):
        life.wait_beside(LOOK_EVERY_S)
        # Of those below Dramatiq's own process, the one that runs the jobs is by far the largest.
        below = _descendants(life.process.pid)
        looks.append(max(_memory_mb(pid, "Rss") for pid in below))
    return statistics.median(looks)


def _memory_mb(pid: int, kind: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/{pid}/smaps_rollup says nothing of {kind}")


def _descendants(pid: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [*children, *(grandchild for child in children for grandchild in _descendants(child))]
