"""What the machine allows: commits and rows a second of this database, round trips of this Redis.

Nothing that is durable can be quicker; a row of ours beside these says how far from it we are.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.rows import Row, row
from benchmarks.stand import Stand, stand
from lastword_middleware.broker import redis_client

#: Rows written with one commit where they are batched.
BATCH = 256

#: A row's content, about as long as an event of ours.
CONTENT = "x" * 200


def measure_limits(databases: Sequence[str], *, seconds: float, rounds: int) -> Iterator[Row]:
    """One after another on one connection.

    Args:
        databases: which ones.
        seconds: of one round.
        rounds: of which the median is taken.
    """
    for database in databases:
        with stand(database) as here:
            with here.ledger.transaction():
                here.ledger.execute("CREATE TABLE bench_limit (content TEXT)")
            single = _rate(lambda: _commit(here, 1), seconds, rounds)
            yield row(f"commits/s of one row, {database}", "commits/s", single, runs=rounds)
            batched = _rate(lambda: _commit(here, BATCH), seconds, rounds)
            name = f"commits/s of {BATCH} rows, {database}"
            rows_s = round(batched * BATCH)
            yield row(name, "commits/s", batched, runs=rounds, rows_a_second=rows_s)
    with stand("sqlite") as here, redis_client(here.config.broker_url) as client:
        trips = _rate(client.ping, seconds, rounds)
        yield row("round trips/s to Redis, one client", "round trips/s", trips, runs=rounds)


def _commit(here: Stand, rows: int) -> None:
    values = ", ".join([f"('{CONTENT}')"] * rows)
    with here.ledger.transaction():
        here.ledger.execute(f"INSERT INTO bench_limit VALUES {values}")


def _rate(call: Callable[[], object], seconds: float, rounds: int) -> float:
    rates = []
    for _ in range(rounds):
        began, calls = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            call()
            calls += 1
        rates.append(calls / (time.monotonic() - began))
    return statistics.median(rates)
