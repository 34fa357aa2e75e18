"""Jobs a second of a worker that keeps to one CPU, for jobs of every kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rows import Row, at_least, compared, unjudged
from benchmarks.stand import Stand, stand
from benchmarks.throughput import LEAST_AT_EQUAL_PREFETCH
from benchmarks.working_off import Workers, work_off

#: What a job does, the actor that does it, and how many times as long it takes as one that does
#: nothing.
KINDS = {
    "no-op": ("nothing", 1),
    "1 ms of waiting": ("a_millisecond", 2),
    "computing in Python": ("in_python", 8),
    "computing beside Python": ("beside_python", 8),
}

#: How many times as many no-op jobs a second one tracked process works off on one CPU as one of
#: bare Dramatiq with its defaults, which is anywhere.
LEAST_BESIDE_DEFAULTS = 3.0

#: The prefetch at which both sides are on one CPU.
PREFETCH = 1024


def measure_placement(
    databases: Sequence[str], *, jobs: int, rounds: int, judged: bool
) -> Iterator[Row]:
    """Jobs through one process of 8 threads, on one CPU beside where it likes, A B A B.

    Then no-op jobs, tracked beside bare Dramatiq: both on one CPU and with the same prefetch; and
    tracked on one CPU beside Dramatiq as it comes.

    Args:
        databases: where the ledger is.
        jobs: no-op jobs in the queue when the worker starts; fewer of those that take longer.
        rounds: pairs of which the median is taken.
        judged: whether a ratio out of its bound is a failure.
    """
    anywhere, kept = Workers(tracked=True), Workers(tracked=True, one_cpu=True)
    bare = Workers(tracked=False, prefetch=PREFETCH, one_cpu=True)
    tracked = Workers(tracked=True, prefetch=PREFETCH, one_cpu=True)
    for database in databases:
        with stand(database) as here:
            for kind, (actor, cost) in KINDS.items():
                name = f"{kind}, 1x8, {database}, on one CPU, beside anywhere"
                yield _pair(here, name, kept, anywhere, actor, jobs // cost, rounds)
            name = (
                f"no-op jobs, 1x8, {database}, prefetch {PREFETCH}, one CPU, beside bare Dramatiq"
            )
            found = _pair(here, name, tracked, bare, "nothing", jobs, rounds)
            found = at_least(found, LEAST_AT_EQUAL_PREFETCH)
            yield found if judged else unjudged(found)
            name = f"no-op jobs, 1x8, {database}, one CPU, beside bare Dramatiq at its defaults"
            found = _pair(here, name, kept, Workers(tracked=False), "nothing", jobs, rounds)
            found = at_least(found, LEAST_BESIDE_DEFAULTS)
            yield found if judged else unjudged(found)


def _pair(
    here: Stand, name: str, ours: Workers, beside: Workers, actor: str, jobs: int, rounds: int
) -> Row:
    speeds: list[float] = []
    baselines: list[float] = []
    for _ in range(rounds):
        baselines.append(jobs / work_off(here, jobs, beside, actor=actor).seconds)
        speeds.append(jobs / work_off(here, jobs, ours, actor=actor).seconds)
    return compared(name, "jobs/s", speeds, baselines)
