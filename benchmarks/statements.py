"""What one job asks of the database: statements and commits, counted by PostgreSQL itself.

On PostgreSQL only: SQLite runs inside the worker, where nobody outside can count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.rows import Row, row
from benchmarks.stand import Stand, stand
from benchmarks.working_off import (
    Workers,
    fill,
    forget_runs,
    require_succeeded,
    wait_until_empty,
    working,
)
from lastword_middleware.broker import redis_client

#: A statement that has ended, as PostgreSQL writes it down; `parse` and `bind` are parts of one.
_STATEMENT = re.compile(r"duration: [\d.]+ ms  (?:statement|execute [^:]*): (\w+)")

#: Words that begin and end transactions, and settings of a connection: no work of their own.
_FRAMES = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "SHOW", "DEALLOCATE"}

#: What lets PostgreSQL write down each statement, and nobody else commit beside the worker.
_SETTINGS = ("log_min_duration_statement = 0", "autovacuum = off")

_COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


@dataclass(frozen=True, slots=True)
class _Asked:
    statements: int
    commits: int


def measure_statements(*, jobs: int) -> Iterator[Row]:
    """Statements and commits for each of `jobs` no-op jobs, 1x8, less what a life costs.

    Commits are all transactions that were not rolled back, those that only read too.
    """
    with stand("postgresql") as here:
        with psycopg.connect(here.environment["LASTWORD_DATABASE_URL"], autocommit=True) as own:
            for setting in _SETTINGS:
                own.execute(f"ALTER SYSTEM SET {setting}".encode())
            own.execute("SELECT pg_reload_conf()")
        life, all_jobs = (_asked(here, number) for number in (1, jobs))
    for unit in ("statements", "commits"):
        more = getattr(all_jobs, unit) - getattr(life, unit)
        yield row(f"{unit} of a no-op job, 1x8, postgresql", unit, more / (jobs - 1), runs=jobs)


def _asked(here: Stand, jobs: int) -> _Asked:
    with redis_client(here.config.broker_url) as client:
        client.flushall()
        fill(here, client, jobs, tracked=True, actor="nothing")
        # Our own connections are closed, and so counted: from here on there is only the worker.
        here.ledger.close()
        commits, written = _commits(here), _log(here).stat().st_size
        with working(here, Workers(tracked=True)) as life:
            wait_until_empty(client, life)
    with _log(here).open(encoding="utf-8", errors="replace") as log:
        log.seek(written)
        words = [found[1].upper() for line in log if (found := _STATEMENT.search(line))]
    asked = _Asked(sum(word not in _FRAMES for word in words), _commits(here) - commits)
    require_succeeded(here, jobs)
    forget_runs(here)
    return asked


def _commits(here: Stand) -> int:
    with psycopg.connect(here.environment["LASTWORD_DATABASE_URL"], autocommit=True) as own:
        [found] = own.execute(_COMMITS).fetchall()
    return int(found[0])


def _log(here: Stand) -> Path:
    return here.folder / "postgres" / "log"
