"""Runs started a second, one by one and many together, up to the message in the queue."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import dramatiq

from benchmarks.stand import Stand, stand
from lastword.starting import start, start_many
from lastword_middleware.broker import redis_client

#: Runs a second that PostgreSQL has to take.
BOUND = 10_000


def measure_bulk_start(
    databases: Sequence[str], *, runs: int, rounds: int, judged: bool = True
) -> list[dict[str, Any]]:
    """`start_many` of `runs`, as a ratio to `start` of as many of a fiftieth, one by one.

    Args:
        databases: what to measure on.
        runs: runs of one call.
        rounds: of which the median is taken.
        judged: whether PostgreSQL is held to its bound.
    """
    rows = []
    for database in databases:
        with stand(database) as here:
            _declare(here)
            together: list[float] = []
            one_by_one: list[float] = []
            for number in range(rounds + 1):
                one_by_one.append(_start(here, runs // 50, together=False))
                together.append(_start(here, runs, together=True))
                if number == 0:  # The first one warms caches.
                    together.clear()
                    one_by_one.clear()
        value, baseline = statistics.median(together), statistics.median(one_by_one)
        row: dict[str, Any] = {
            "name": f"start_many of {runs:,}, {database}",
            "unit": "runs/s",
            "value": round(value),
            "baseline": round(baseline),
            "ratio": round(value / baseline, 2),
            "runs": rounds,
        }
        if judged and database == "postgresql":
            row |= {"bound": f"{BOUND:,} runs/s", "within": value >= BOUND}
        rows.append(row)
    return rows


def _declare(here: Stand) -> None:
    @dramatiq.actor(operation="bench.nothing", broker=here.broker)
    def nothing(number: int) -> None: ...


def _start(here: Stand, runs: int, *, together: bool) -> float:
    inputs = [{"number": number} for number in range(runs)]
    began = time.perf_counter()
    if together:
        start_many("bench.nothing", inputs)
    else:
        for item in inputs:
            start("bench.nothing", inputs=item)
    took = time.perf_counter() - began
    _clear(here, runs)
    return runs / took


def _clear(here: Stand, runs: int) -> None:
    client = redis_client(here.config.broker_url)
    assert client.llen("dramatiq:default") == runs
    client.flushall()
    client.close()
    with here.ledger.transaction():
        for table in ("event", "attempt", "run"):
            here.ledger.execute(f"DELETE FROM lastword_{table}")


if __name__ == "__main__":
    print(json.dumps(measure_bulk_start(["sqlite", "postgresql"], runs=10_000, rounds=3), indent=1))  # noqa: T201
