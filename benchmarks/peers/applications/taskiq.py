"""Taskiq on a stream of Redis, with its results in Redis."""

import asyncio
import os

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

URL = os.environ["BENCH_REDIS_URL"]

broker = RedisStreamBroker(url=URL).with_result_backend(RedisAsyncResultBackend(f"{URL}?db=1"))


@broker.task(task_name="nothing")
async def nothing() -> None:
    """Return at once."""


def fill(jobs: int) -> None:
    """Enqueue them."""
    asyncio.run(_fill(jobs))


async def _fill(jobs: int) -> None:
    await broker.startup()
    for _ in range(jobs):
        await nothing.kiq()
    await broker.shutdown()
