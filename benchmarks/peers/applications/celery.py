"""Celery on Redis, with its results in Redis or in a database."""

import os

from celery import Celery

REDIS = os.environ["BENCH_REDIS_URL"].replace("unix://", "redis+socket://")

RESULTS = {
    "redis": f"{REDIS}?virtual_host=1",
    "database": os.environ["BENCH_DATABASE_URL"].replace("://", "+psycopg://", 1),
}

app = Celery("application", broker=f"{REDIS}?virtual_host=0")
app.conf.result_backend = RESULTS[os.environ["BENCH_RESULTS"]]
if os.environ["BENCH_RESULTS"] == "database":
    app.conf.result_backend = f"db+{app.conf.result_backend}"


@app.task(name="nothing")
def nothing() -> None:
    """Return at once."""


def fill(jobs: int) -> None:
    """Enqueue them."""
    for _ in range(jobs):
        nothing.delay()
