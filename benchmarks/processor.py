"""Processor time of a worker for each job, beside the one of bare Dramatiq."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rows import Row, compared
from benchmarks.stand import Stand, stand
from benchmarks.working_off import Workers, work_off


def measure_processor(databases: Sequence[str], *, jobs: int, rounds: int) -> Iterator[Row]:
    """Microseconds of a worker for one no-op job, in user and system mode, by the kernel's count.

    Not in it is what the database and Redis use, nor the sentinel, which a worker leaves behind.

    Args:
        databases: where the ledger is.
        jobs: in the queue when the worker starts.
        rounds: pairs of a bare run and a tracked one.
    """
    for database in databases:
        with stand(database) as here:
            used: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(rounds):
                for tracked in used:
                    used[tracked].append(_microseconds(here, jobs, Workers(tracked=tracked)))
            name = f"processor time of a no-op job, 1x8, {database}, beside bare Dramatiq"
            yield compared(name, "us", used[True], used[False])


def _microseconds(here: Stand, jobs: int, workers: Workers) -> float:
    # A life with one job is what the start and the end cost.
    least = work_off(here, 1, workers)
    return (work_off(here, jobs, workers).cpu_s - least.cpu_s) / (jobs - 1) * 1e6
