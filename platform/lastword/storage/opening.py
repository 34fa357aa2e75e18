"""Opening a ledger: by URL, in an application's own database, or beside another."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import peewee
from playhouse.pool import PooledPostgresqlDatabase

from lastword.errors import ConfigError, LedgerUnavailable
from lastword.storage.ledger import WAIT_S, Ledger
from lastword.storage.write_ahead import LONGEST_BYTES, LogFolding
from lastword.urls import redacted

#: The most connections a process opens; more than the threads that use the ledger at once.
MAX_CONNECTIONS = 64

#: Seconds after which an idle connection of a pool is replaced.
STALE_AFTER_S = 300

#: Milliseconds PostgreSQL gives a statement, a lock, and a transaction that says nothing.
STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000

#: The first SQLite with RETURNING.
OLDEST_SQLITE = (3, 35, 0)


def open_ledger(url: str) -> Ledger:
    """The ledger at `url`. Nothing is connected before its first use.

    Args:
        url: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`.

    Raises:
        LedgerUnavailable: the driver is not installed, or a SQLite file cannot be there.
    """
    scheme = urlsplit(url).scheme
    database = _open_sqlite(url) if scheme == "sqlite" else _open_postgres(url)
    ledger = Ledger(database, address=redacted(url))
    if ledger.is_one_file:
        ledger.after_transaction = LogFolding(ledger)
    return ledger


def ledger_of(database: peewee.Database | peewee.DatabaseProxy) -> Ledger:
    """The ledger in an application's own database.

    Raises:
        ConfigError: it is no SQLite file and no PostgreSQL database.
    """
    found = database.obj if isinstance(database, peewee.DatabaseProxy) else database
    kinds = (peewee.SqliteDatabase, peewee.PostgresqlDatabase)
    if not isinstance(found, kinds) or not found.database:
        raise ConfigError(
            [f"the ledger's database is {type(found).__name__} {getattr(found, 'database', '')!r}"],
            mend="give a SqliteDatabase of a file or a PostgresqlDatabase, ready to connect",
        )
    return Ledger(found, address=redacted(str(found.database)), is_own=False)


def sibling_of(ledger: Ledger) -> Ledger:
    """The same ledger on connections of its own.

    Raises:
        LedgerUnavailable: it lives in memory, where no other connection can reach it.
    """
    name = str(ledger.database.database)
    if isinstance(ledger.database, peewee.SqliteDatabase):
        return open_ledger(f"sqlite:///{file_of(ledger)}")
    database = _pooled_postgres(name, **{**_connection(), **ledger.database.connect_params})
    return Ledger(database, address=ledger.address)


def described(ledger: Ledger) -> dict[str, Any] | None:
    """Where a ledger is, as JSON values, for `open_described` in another process of this host.

    None if another process cannot open it. Holds the password, if there is one.
    """
    name = str(ledger.database.database)
    if isinstance(ledger.database, peewee.SqliteDatabase):
        return None if _is_in_memory(name) else {"sqlite": str(file_of(ledger))}
    connection = {**_connection(), **ledger.database.connect_params}
    try:
        return {"postgresql": name, "connection": json.loads(json.dumps(connection))}
    except TypeError:
        return None


def open_described(place: Mapping[str, Any]) -> Ledger:
    """The ledger that `described` told of."""
    if "sqlite" in place:
        return open_ledger(f"sqlite:///{place['sqlite']}")
    database = _pooled_postgres(place["postgresql"], **place["connection"])
    return Ledger(database, address=redacted(place["postgresql"]))


def file_of(ledger: Ledger) -> Path:
    """The file of a ledger that is one; it need not be there yet.

    Raises:
        LedgerUnavailable: it lives in memory, where no other connection can reach it.
    """
    name = str(ledger.database.database)
    _refuse_memory(name, address=ledger.address)
    if name.startswith("file:") and ledger.database.connect_params.get("uri"):
        name = unquote(urlsplit(name).path)
    return Path(name).absolute()


def _refuse_memory(name: str, *, address: str) -> None:
    if _is_in_memory(name):
        raise LedgerUnavailable(
            "a ledger in memory cannot be shared between threads",
            address=address,
            mend="use a file",
        )


def _is_in_memory(name: str) -> bool:
    named = name.startswith("file:") and ("mode=memory" in name or "vfs=memdb" in name)
    return named or ":memory:" in name


def _open_sqlite(url: str) -> peewee.SqliteDatabase:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerUnavailable(
            f"this Python has SQLite {sqlite3.sqlite_version}",
            address=url,
            expected="3.35 or newer",
            mend="use a newer Python or PostgreSQL",
        )
    path = Path(url.removeprefix("sqlite:///"))
    _refuse_memory(path.name, address=url)
    if not path.parent.is_dir():
        raise LedgerUnavailable(
            f"the ledger {path} cannot be opened: folder {path.parent} does not exist",
            address=url,
            mend="run `lastword migrate` to make the default one, or set LASTWORD_DATABASE_URL",
        )
    # FULL: an acknowledged run must survive a power cut, not only a killed process.
    pragmas: dict[str, Any] = {
        "journal_mode": "wal",
        "synchronous": "full",
        "foreign_keys": 1,
        "journal_size_limit": LONGEST_BYTES,
    }
    if not path.exists() or path.stat().st_size == 0:
        # Retention can then give pages back. Later it would take the file's write lock each time.
        pragmas = {"auto_vacuum": "incremental", **pragmas}
    return peewee.SqliteDatabase(
        str(path),
        pragmas=pragmas,
        timeout=WAIT_S,
        # A deferred transaction that reads before it writes fails at once under contention.
        lock_type="IMMEDIATE",
    )


def _open_postgres(url: str) -> PooledPostgresqlDatabase:
    try:
        database = _pooled_postgres(url.replace("postgres://", "postgresql://", 1), **_connection())
        database._adapter.check_driver()  # type: ignore[attr-defined]  # missing in the stubs
    except peewee.ImproperlyConfigured as error:
        raise LedgerUnavailable(
            "PostgreSQL needs the driver psycopg, which is not installed",
            address=redacted(url),
            mend="run `pip install 'lastword[postgres]'`",
        ) from error
    return database


def _connection() -> dict[str, Any]:
    settings = {
        # It takes longer to compile a statement of ours than to run it.
        "jit": "off",
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    }
    return {
        "connect_timeout": 5,
        "application_name": "lastword",
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        # The timeouts above are the server's; these end the wait for a server that has vanished.
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": STATEMENT_TIMEOUT_MS + LOCK_TIMEOUT_MS,
    }


def _pooled_postgres(name: str, **connection: Any) -> PooledPostgresqlDatabase:
    return PooledPostgresqlDatabase(
        name,
        prefer_psycopg3=True,
        max_connections=MAX_CONNECTIONS,
        timeout=WAIT_S,
        stale_timeout=STALE_AFTER_S,
        **connection,
    )
