"""Procrastinate: jobs and their events in PostgreSQL."""

import os

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["BENCH_DATABASE_URL"]))


@app.task(name="nothing")
async def nothing() -> None:
    """Return at once."""


def fill(jobs: int) -> None:
    """Enqueue them."""
    with app.open():
        app.schema_manager.apply_schema()
        nothing.batch_defer(*({} for _ in range(jobs)))
