"""Which ledger tests may have: one that is nobody else's, for time passes there for every run."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from urllib.parse import parse_qsl, urlsplit

import peewee

from lastword.application import Application
from lastword.errors import LastwordError
from lastword.storage.ledger import WAIT_S, Ledger
from lastword.storage.opening import file_of, open_ledger, sibling_of
from lastword.storage.schema import migrate

#: The URL of a ledger of one bench alone, which is gone with it.
IN_MEMORY = "sqlite:///:memory:"

#: The first SQLite in which the connections of a process can share a database in memory.
OLDEST_SQLITE = (3, 36, 0)


@contextmanager
def bench_ledgers(url: str, application: Application) -> Iterator[tuple[Ledger, Ledger]]:
    """The ledger at `url` with its tables, on two connections, as `track` wants it.

    Raises:
        LastwordError: it is this application's own ledger, or a worker lives there.
    """
    if url == IN_MEMORY:
        with _in_memory() as (own, apart):
            yield own, apart
        return
    own = open_ledger(url)
    apart = sibling_of(own)
    try:
        _require_another(own, application)
        migrate(own)
        _require_nobody(own)
        yield own, apart
    finally:
        own.close()
        apart.close()


@contextmanager
def _in_memory() -> Iterator[tuple[Ledger, Ledger]]:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LastwordError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and threads cannot share a ledger "
            "in memory",
            expected="3.36 or newer",
            mend="give the URL of a file: sqlite:///test.db",
        )
    # SQLite's "memdb": one database for all connections that name it, with the locks of a file.
    name = f"file:/lastword-bench-{uuid.uuid4()}?vfs=memdb"
    # It is there as long as it has a connection, and threads come and go.
    with closing(sqlite3.connect(name, uri=True)):
        own, apart = _named(name), _named(name)
        try:
            migrate(own)
            yield own, apart
        finally:
            own.close()
            apart.close()


def _named(name: str) -> Ledger:
    database = peewee.SqliteDatabase(
        name, uri=True, pragmas={"foreign_keys": 1}, timeout=WAIT_S, lock_type="IMMEDIATE"
    )
    return Ledger(database, address=IN_MEMORY)


def place_of(ledger: Ledger) -> object:
    """Where a ledger is, equal for two ways of writing it; nothing is connected."""
    name = str(ledger.database.database)
    if ledger.address == IN_MEMORY:
        return name
    if isinstance(ledger.database, peewee.SqliteDatabase):
        return file_of(ledger).resolve()
    return _server(name, ledger.database.connect_params)


def _server(name: str, parameters: Mapping[str, object]) -> object:
    asked = dict(parameters)
    if "://" in name:
        url = urlsplit(name)
        asked.update(host=url.hostname, port=url.port)
        asked.update(parse_qsl(url.query))
        name = url.path.strip("/")
    host = str(asked.get("host") or "localhost")
    host = "localhost" if host in ("127.0.0.1", "::1") else host
    return host, int(str(asked.get("port") or 5432)), str(asked.get("dbname") or name)


def _require_another(ledger: Ledger, application: Application) -> None:
    if place_of(ledger) == place_of(application.apart):
        raise LastwordError(
            f"{ledger.address} is the application's own ledger, and its runs would be aged",
            expected="a database for tests alone",
            mend="give another URL to bench, or from the fixture lastword_ledger_url",
        )


def _require_nobody(ledger: Ledger) -> None:
    with ledger.session():
        [row] = ledger.execute(
            "SELECT COUNT(*) AS alive FROM lastword_worker "
            f"WHERE ended_at IS NULL AND lease_until > {ledger.dialect.now_ms}"
        )
    if row["alive"]:
        raise LastwordError(
            f"the ledger at {ledger.address} has living workers: {row['alive']}",
            expected="a database for tests alone",
            mend="give one to each process of the tests; a worker that was killed is gone soon",
        )
