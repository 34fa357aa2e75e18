"""Jobs a second, tracked and durable, as a ratio to the same on bare Dramatiq in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rows import Row, at_least, compared, unjudged
from benchmarks.stand import Stand, stand
from benchmarks.working_off import Workers, work_off

#: What a job does, and the actor that does it.
ACTORS = {
    "no-op": "nothing",
    "1 ms": "a_millisecond",
    "never repeated no-op": "never_repeated",
}

#: How many times as many no-op jobs a second one tracked process works off as one of bare Dramatiq,
#: both with the same prefetch.
LEAST_AT_EQUAL_PREFETCH = 1.1


def measure_throughput(
    databases: Sequence[str],
    *,
    jobs: int,
    rounds: int,
    processes: Sequence[int],
    kinds: Sequence[tuple[str, int | None]],
    judged: bool,
) -> Iterator[Row]:
    """Jobs through processes of 8 threads, up to the last durable commit, A B A B.

    Args:
        databases: where the ledger is.
        jobs: in the queue when the worker starts.
        rounds: pairs of a bare run and a tracked one.
        processes: how many of a worker; each number is measured.
        kinds: what a job does, and the prefetch given to both sides; None if nobody says how many.
        judged: whether a ratio out of its bound is a failure.
    """
    for database in databases:
        with stand(database) as here:
            for number in processes:
                for kind, prefetch in kinds:
                    found = _pair(here, kind, number, prefetch, jobs=jobs, rounds=rounds)
                    yield found if judged else unjudged(found)


def _pair(
    here: Stand, kind: str, processes: int, prefetch: int | None, *, jobs: int, rounds: int
) -> Row:
    speeds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for tracked in speeds:
            workers = Workers(tracked=tracked, processes=processes, prefetch=prefetch)
            done = work_off(here, jobs, workers, actor=ACTORS[kind])
            speeds[tracked].append(jobs / done.seconds)
    taken = f"prefetch {prefetch}" if prefetch else "defaults"
    name = f"{kind} jobs, {processes}x8, {here.database}, {taken}, beside bare Dramatiq"
    found = compared(name, "jobs/s", speeds[True], speeds[False])
    if kind != "no-op" or processes != 1 or prefetch is None:
        return found
    return at_least(found, LEAST_AT_EQUAL_PREFETCH)
