"""How long a start takes, and how long a lone job is on its way: tracked, beside bare Dramatiq."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from benchmarks.rows import Row, at_most, compared, unjudged
from benchmarks.stand import Stand, declare, stand
from benchmarks.working_off import QUEUE, Life, Workers, forget_runs, wait_until_empty, working
from lastword.starting import start_in
from lastword_middleware.broker import redis_client

#: How much longer a lone job may take with a tracked start and a tracked worker.
MOST_OF_A_LONE_JOB = 1.2

#: Seconds between two lone jobs. Dramatiq's consumer looks the more seldom the longer nothing has
#: come; a pause that is not always the same meets it at every phase of that.
PAUSES_S = (0.05, 0.15)

#: Jobs before those that are counted: connections, caches, plans.
WARM_UP = 5


def measure_starts(databases: Sequence[str], *, starts: int, rounds: int) -> Iterator[Row]:
    """One start after another, from the call to its return, while no worker is there.

    A start of ours is committed when it returns; one of bare Dramatiq is in Redis.

    Args:
        databases: where the ledger is.
        starts: of one block; a block of bare ones and one of tracked ones are a round.
        rounds: how many.
    """
    for database in databases:
        with stand(database) as here, redis_client(here.config.broker_url) as client:
            declare(here, "nothing")
            took: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(rounds):
                for tracked in took:
                    start = _starting(here, tracked=tracked)
                    blocks = [_milliseconds(start) for _ in range(WARM_UP + starts)]
                    took[tracked] += blocks[WARM_UP:]
                    client.flushall()
                    forget_runs(here)
            for name, percentile in (("p50", 50), ("p99", 99)):
                value, baseline = (
                    _percentile(took[tracked], percentile) for tracked in (True, False)
                )
                label = f"start latency {name}, {database}, beside bare Dramatiq"
                yield {**compared(label, "ms", [value], [baseline]), "runs": starts * rounds}


def measure_lone_jobs(
    databases: Sequence[str], *, jobs: int, rounds: int, judged: bool
) -> Iterator[Row]:
    """From the call that starts a job to its acknowledgement, one job at a time, 1x8.

    After a pause, when the worker is idle; and the next as soon as the last is done.

    Args:
        databases: where the ledger is.
        jobs: of one block.
        rounds: pairs of a block on bare Dramatiq and a tracked one.
        judged: whether a ratio out of its bound is a failure.
    """
    for database in databases:
        with stand(database) as here:
            declare(here, "nothing")
            after_pause: dict[bool, list[float]] = {False: [], True: []}
            at_once: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(rounds):
                for tracked in (False, True):
                    paused, hurried = _lone_jobs(here, jobs, tracked=tracked)
                    after_pause[tracked] += paused
                    at_once[tracked] += hurried
            name = f"lone job from start to its durable end, {database}, beside bare Dramatiq"
            found = compared(name, "ms", after_pause[True], after_pause[False])
            bounded = at_most(found, MOST_OF_A_LONE_JOB)
            yield bounded if judged else unjudged(bounded)
            name = f"one job right after another, start to durable end, {database}, beside bare"
            yield compared(name, "ms", at_once[True], at_once[False])


def _lone_jobs(here: Stand, jobs: int, *, tracked: bool) -> tuple[list[float], list[float]]:
    start = _starting(here, tracked=tracked)
    with (
        redis_client(here.config.broker_url) as client,
        working(here, Workers(tracked=tracked)) as life,
    ):
        client.flushall()
        for _ in range(WARM_UP):
            _on_its_way(start, client, life)
        paused = []
        for _ in range(jobs):
            time.sleep(random.uniform(*PAUSES_S))  # noqa: S311 - no secret
            paused.append(_on_its_way(start, client, life))
        hurried = [_on_its_way(start, client, life) for _ in range(jobs)]
    forget_runs(here)
    return paused, hurried


def _on_its_way(start: Callable[[], object], client: redis.Redis, life: Life) -> float:
    began = time.perf_counter()
    start()
    wait_until_empty(client, life, look_every_s=0.0005)
    return (time.perf_counter() - began) * 1000


def _starting(here: Stand, *, tracked: bool) -> Callable[[], object]:
    # No two alike: an active run of the same inputs would be the answer to the second start.
    numbers = itertools.count()
    if not tracked:
        bare = RedisBroker(url=here.config.broker_url)
        bare.declare_queue(QUEUE)
        return lambda: bare.enqueue(Message(QUEUE, "nothing", (next(numbers),), {}, {}))

    def start() -> object:
        return start_in(
            here.application,
            "bench.nothing",
            inputs={"number": next(numbers)},
            tenant=None,
            initiator=None,
        )

    return start


def _milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _percentile(values: Sequence[float], percentile: int) -> float:
    return statistics.quantiles(values, n=100)[percentile - 1]
