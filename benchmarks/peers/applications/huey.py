"""Huey on Redis, with its results there."""

import os

from huey import RedisHuey

# A result of None is a result too: else nothing would be kept of a job that returns nothing.
huey = RedisHuey("bench", url=os.environ["BENCH_REDIS_URL"], store_none=True)


@huey.task()
def nothing() -> None:
    """Return at once."""


def fill(jobs: int) -> None:
    """Enqueue them."""
    for _ in range(jobs):
        nothing()
