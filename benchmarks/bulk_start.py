"""Runs started a second, many together and one by one, up to the messages in the queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from benchmarks.rows import Row, compared
from benchmarks.stand import Stand, declare, stand
from benchmarks.working_off import QUEUE, forget_runs
from lastword.starting import MOST_AT_ONCE, start, start_many
from lastword_middleware.broker import redis_client

#: Runs a second that PostgreSQL has to take.
BOUND = 10_000

#: Of the runs that are started together, as many are started one by one.
SHARE = 20


def measure_bulk_start(
    databases: Sequence[str], *, runs: int, rounds: int, judged: bool
) -> Iterator[Row]:
    """`start_many` of `runs` beside `start` of a share of them, A B A B.

    Args:
        databases: where the ledger is.
        runs: of one call.
        rounds: pairs of which the median is taken.
        judged: whether PostgreSQL is held to its bound.
    """
    runs = min(runs, MOST_AT_ONCE)
    for database in databases:
        with stand(database) as here:
            declare(here, "nothing")
            _start(here, runs, together=True)  # Warms caches.
            one_by_one: list[float] = []
            together: list[float] = []
            for _ in range(rounds):
                one_by_one.append(_start(here, max(1, runs // SHARE), together=False))
                together.append(_start(here, runs, together=True))
        name = f"start_many of {runs:,} runs, {database}, beside start"
        found = compared(name, "runs/s", together, one_by_one)
        if database == "postgresql":
            found["bound"] = f">= {BOUND:,} runs/s"
            if judged:
                found["within"] = found["value"] >= BOUND
        yield found


def _start(here: Stand, runs: int, *, together: bool) -> float:
    inputs = [{"number": number} for number in range(runs)]
    began = time.perf_counter()
    if together:
        start_many("bench.nothing", inputs)
    else:
        for item in inputs:
            start("bench.nothing", inputs=item)
    took = time.perf_counter() - began
    with redis_client(here.config.broker_url) as client:
        assert client.llen(f"dramatiq:{QUEUE}") == runs
        client.flushall()
    forget_runs(here)
    return runs / took
