"""PgQueuer: jobs and their log in PostgreSQL."""

import asyncio
import os

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries

URL = os.environ["BENCH_DATABASE_URL"]


def work() -> None:
    """Run its worker, as its own command does; that one breaks with the newest typer."""
    asyncio.run(_work())


async def _work() -> None:
    application = PgQueuer.from_asyncpg_connection(await asyncpg.connect(URL))

    @application.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        """Return at once."""

    await application.run()


def fill(jobs: int) -> None:
    """Enqueue them."""
    asyncio.run(_fill(jobs))


async def _fill(jobs: int) -> None:
    connection = await asyncpg.connect(URL)
    queries = Queries.from_asyncpg_connection(connection)
    await queries.install()
    await queries.enqueue(["nothing"] * jobs, [None] * jobs, [0] * jobs)
    await connection.close()
