"""Which peers there are: what is installed for each, how its worker starts, how it is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
import redis


@dataclass(frozen=True, slots=True)
class Sql:
    """Counts rows of the peer's own database."""

    text: str

    def count(self, places: Places) -> int:
        """As many as there are; none while the table is not there yet."""
        try:
            [[found]] = places.database.execute(self.text.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return 0
        return int(found)


@dataclass(frozen=True, slots=True)
class Command:
    """Counts what Redis holds.

    Attributes:
        words: a command that answers with a number.
        db: the number of the database in Redis.
    """

    words: Sequence[str]
    db: int = 0

    def count(self, places: Places) -> int:
        """As many as Redis says."""
        return int(places.redis[self.db].execute_command(*self.words))


@dataclass(frozen=True, slots=True)
class Places:
    """Where to count: the peer's own database, and the databases of Redis that it may use."""

    database: psycopg.Connection
    redis: Sequence[redis.Redis]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to run jobs so that what became of each can be read afterwards.

    Attributes:
        name: what it is picked by.
        label: what its rows say.
        requirements: what pip installs, the peer first.
        worker: its worker's command, below the environment's `bin`.
        note: how many jobs it does at once.
        finished: counts the jobs whose end is recorded.
        application: the module in `applications`, if it is not called like the peer.
        environment: what its application is told besides where the servers are.
        look_every_s: seconds between two counts.
        needs_rabbitmq: whether its messages are in RabbitMQ.
    """

    name: str
    label: str
    requirements: Sequence[str]
    worker: Sequence[str]
    note: str
    finished: Sql | Command
    application: str = ""
    environment: Sequence[tuple[str, str]] = ()
    look_every_s: float = 0.01
    needs_rabbitmq: bool = False


#: Remoulade keeps a hash for each message, from the first state to the last; JSON, its keys too.
_REMOULADE_SUCCEEDED = """
local succeeded = 0
for _, key in ipairs(redis.call('KEYS', 'remoulade-state*')) do
    local status = redis.call('HGET', key, '"status"')
    if status and string.find(status, 'Success') then succeeded = succeeded + 1 end
end
return succeeded
"""

PEERS = (
    Peer(
        name="pgqueuer",
        label="PgQueuer (PostgreSQL)",
        requirements=["pgqueuer", "asyncpg"],
        worker=["python", "-c", "import application; application.work()"],
        note="1 process, asyncio, no limit of jobs at once, batches of 10: its defaults",
        finished=Sql("SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"),
    ),
    Peer(
        name="huey",
        label="Huey, results in Redis",
        requirements=["huey", "redis"],
        worker=["huey_consumer", "application.huey", "--workers", "8"],
        note="1 process, 8 threads",
        finished=Command(["HLEN", "huey.results.bench"]),
    ),
    Peer(
        name="taskiq",
        label="Taskiq, results in Redis",
        requirements=["taskiq", "taskiq-redis"],
        worker=[
            *("taskiq", "worker", "application:broker"),
            *("--workers", "1", "--max-async-tasks", "8"),
        ],
        note="1 process, asyncio, 8 jobs at once",
        finished=Command(["DBSIZE"], db=1),
    ),
    Peer(
        name="remoulade",
        label="Remoulade on RabbitMQ, state in Redis",
        requirements=["remoulade[rabbitmq,redis]"],
        worker=["remoulade", "application", "--threads", "8"],
        note="1 process, 8 threads",
        finished=Command(["EVAL", _REMOULADE_SUCCEEDED, "0"]),
        # Each count looks at every message.
        look_every_s=0.1,
        needs_rabbitmq=True,
    ),
    Peer(
        name="celery",
        label="Celery, results in Redis",
        requirements=["celery[redis]", "psycopg[binary]"],
        worker=["celery", "-A", "application", "worker", "--pool", "threads", "-c", "8"],
        note="1 process, 8 threads",
        finished=Command(["DBSIZE"], db=1),
        environment=[("BENCH_RESULTS", "redis")],
    ),
    Peer(
        name="celery-database",
        label="Celery, results in PostgreSQL",
        requirements=["celery[redis]", "sqlalchemy", "psycopg[binary]"],
        worker=["celery", "-A", "application", "worker", "--pool", "threads", "-c", "8"],
        note="1 process, 8 threads",
        finished=Sql("SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'"),
        application="celery",
        environment=[("BENCH_RESULTS", "database")],
    ),
    Peer(
        name="procrastinate",
        label="Procrastinate (PostgreSQL)",
        requirements=["procrastinate", "psycopg[binary]"],
        worker=["procrastinate", "--app", "application.app", "worker", "--concurrency", "8"],
        note="1 process, asyncio, 8 jobs at once",
        finished=Sql("SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"),
    ),
    Peer(
        name="django_dramatiq",
        label="django_dramatiq (PostgreSQL)",
        requirements=["django-dramatiq", "dramatiq[redis]", "psycopg[binary]"],
        worker=["dramatiq", "application", "--processes", "1", "--threads", "8"],
        note="1 process, 8 threads",
        finished=Sql("SELECT count(*) FROM django_dramatiq_task WHERE status = 'done'"),
    ),
)
