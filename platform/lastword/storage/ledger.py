"""The ledger's connection: opening a database by URL, sessions, transactions, honest errors."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import peewee
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from lastword.errors import LedgerUnavailable, SchemaError
from lastword.storage.dialects import POSTGRES, SQLITE, Dialect
from lastword.storage.measures import Measure, write_measures

#: Seconds to wait for another writer of a SQLite file, or for a free connection of a pool.
WAIT_S = 10

#: What a database says of a statement; everything else it says of itself, and may pass.
_ABOUT_A_STATEMENT = (
    peewee.DataError,
    peewee.IntegrityError,
    peewee.NotSupportedError,
    peewee.ProgrammingError,
)

#: What it says of itself. Outside a transaction SQLite commits what a statement moved when the last
#: row has been fetched, and its own error comes from there.
_ABOUT_THE_DATABASE = (
    peewee.DatabaseError,
    peewee.InterfaceError,
    MaxConnectionsExceeded,
    sqlite3.OperationalError,
)

Row = dict[str, Any]


class Ledger:
    """A database that holds runs. Threads may share it; a forked child opens its own connections.

    Args:
        database: the Peewee database.
        address: where it is, without a password.
        is_own: whether Lastword opened it, and not the application.
    """

    def __init__(self, database: peewee.Database, *, address: str, is_own: bool = True) -> None:
        self.database = database
        self.address = address
        #: Whether its connections are Lastword's; else they are the application's, to be left as
        #: they were found.
        self.is_own = is_own
        #: Whether this process has found the schema to be its own version's.
        self.schema_is_current = False
        self.dialect: Dialect = (
            POSTGRES if isinstance(database, peewee.PostgresqlDatabase) else SQLITE
        )
        #: Told after each transaction of ours, outside of it.
        self.after_transaction: Callable[[], object] | None = None
        self._here = threading.local()
        #: A pooled connection goes back after each use; a SQLite connection stays with its thread,
        #: because closing the last one would fold up the write-ahead log each time.
        self._pool = database if isinstance(database, PooledPostgresqlDatabase) else None
        if is_own:
            _leave_to_the_parent(database)

    @contextmanager
    def session(self) -> Iterator[None]:
        """A connection for this thread, joined to one that is open already.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        opened = False
        try:
            if self.database.is_closed():
                self._connect()
                opened = True
            self._end_interrupted_transaction()
            yield
        except _ABOUT_A_STATEMENT:
            raise
        except _ABOUT_THE_DATABASE as error:
            self._forget_connection()
            raise self._translated(error) from error
        except Exception:
            raise
        except BaseException:
            # Raised into the thread from outside, at any line: nobody knows what state the
            # connection is in, and it must not keep a transaction.
            self._end_interrupted_transaction()
            self._forget_connection()
            raise
        finally:
            keeps = self.is_own and self._pool is None
            if opened and not keeps and not self.database.is_closed():
                self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A session in one transaction; inside an application's transaction, a part of that.

        What was measured in it is written before it ends, and forgotten if it fails.
        """
        outer: Counter[Measure] | None = getattr(self._here, "measured", None)
        # A savepoint that is rolled back gives up the locks that were taken in it.
        locked: frozenset[str] = getattr(self._here, "locked", frozenset())
        mine: Counter[Measure] = Counter()
        with self.session(), self.database.atomic():
            self._here.measured = mine
            try:
                yield
            except BaseException:
                self._here.locked = locked
                raise
            finally:
                self._here.measured = outer
                if outer is None:
                    self._here.locked = frozenset()
            if outer is None:
                write_measures(self, mine)
            else:
                outer.update(mine)
        if outer is None and self.after_transaction is not None:
            self.after_transaction()

    def measure(self, name: str, labels: tuple[str, ...], by: int = 1) -> None:
        """Add to a measure, in the transaction of the caller.

        Raises:
            LookupError: there is none.
        """
        measured: Counter[Measure] | None = getattr(self._here, "measured", None)
        if measured is None:
            raise LookupError(f"{name} was to be measured outside a transaction")
        measured[name, labels] += by

    def execute(self, statement: str, *parameters: object) -> list[Row]:
        """Run one statement; its rows as dictionaries."""
        cursor = self.database.execute_sql(statement, parameters)
        if cursor.description is None:
            return []
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @property
    def is_one_file(self) -> bool:
        """Whether one transaction that writes keeps out all others."""
        return isinstance(self.database, peewee.SqliteDatabase)

    def lock_runs(self, run_ids: Sequence[str]) -> None:
        """Lock runs in the order of their ids, where the database needs that against deadlocks.

        Those that this transaction has locked before it has still.
        """
        if len(run_ids) > 1:
            self.keep_runs(run_ids)

    def keep_runs(self, run_ids: Sequence[str]) -> None:
        """Keep others from changing or removing runs until this transaction ends."""
        statement = self.dialect.lock_rows("lastword_run")
        locked: frozenset[str] = getattr(self._here, "locked", frozenset())
        if statement and not locked.issuperset(run_ids):
            self.execute(statement, as_batch(run_ids))
            if getattr(self._here, "measured", None) is not None:
                self._here.locked = locked.union(run_ids)

    def after_commit(self, action: Callable[[], object]) -> None:
        """Call `action` once what was written is durable; at once outside a transaction."""
        self.database.after_commit(action)

    def leave_thread(self) -> None:
        """Close the connection that stays with this thread, before the thread ends."""
        if not self.database.is_closed():
            self.database.close()

    def close(self) -> None:
        """Close this thread's connection, and those that a pool keeps."""
        self.leave_thread()
        if self._pool:
            self._pool.close_all()

    def _connect(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                self.database.connect()
                return
            except peewee.ProgrammingError:
                # The driver's own words would repeat the part of the URL it cannot read.
                raise LedgerUnavailable(
                    f"the URL of the ledger at {self.address} cannot be read by its driver",
                    address=self.address,
                    expected="postgresql://USER:PASSWORD@HOST/NAME with %, @, / and ? as %25 ...",
                ) from None
            except peewee.OperationalError as error:
                # The first connections to a new SQLite file switch it to its write-ahead log, which
                # fails at once while another does the same, whatever the timeout.
                if "database is locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _end_interrupted_transaction(self) -> None:
        # An exception raised into a thread from outside can leave the driver in a transaction that
        # Peewee knows nothing of; it would keep the write lock of the whole SQLite file.
        if self.database.is_closed() or not self.is_own:
            return
        connection = self.database.connection()
        if self.database.in_transaction() or not isinstance(connection, sqlite3.Connection):
            return
        if connection.in_transaction:
            connection.rollback()

    def _forget_connection(self) -> None:
        # A server that restarted leaves this thread with a dead connection; the next session opens
        # its own. Inside a transaction the transaction's own end decides.
        if self._pool and not self.database.in_transaction() and not self.database.is_closed():
            self._pool.manual_close()

    def _translated(self, error: Exception) -> Exception:
        while "cannot rollback" in str(error) and isinstance(
            error.__context__, peewee.PeeweeException
        ):
            # SQLite has rolled back by itself; what matters is why.
            error = error.__context__
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "no such table" in text:
            return SchemaError(
                f"the ledger at {self.address} lacks a table ({text})",
                mend="run `lastword migrate`",
            )
        if "disk is full" in text or "No space left" in text:
            return LedgerUnavailable(
                f"the ledger at {self.address} cannot be written: {text}",
                address=self.address,
                mend="make room on the disk of the database",
            )
        return LedgerUnavailable(
            f"the ledger at {self.address} does not answer: {text}",
            address=self.address,
            mend="check that the database runs and that LASTWORD_DATABASE_URL is right",
        )


def _leave_to_the_parent(database: peewee.Database) -> None:
    # A forked child that went on with its parent's connection would talk into its conversation.
    known = weakref.ref(database)

    def forget() -> None:
        inherited = known()
        if inherited is not None:
            inherited.dispose()

    os.register_at_fork(after_in_child=forget)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False)

#: How a NUL is written in JSON.
_ESCAPED_NUL = "\\u0000"


def as_json(value: object) -> str:
    """A value as the JSON text that the ledger keeps.

    What PostgreSQL cannot keep in a text - NUL, and half of a surrogate pair, as a file's name may
    have it - becomes a replacement character: an end is never lost over the words of its exception.
    """
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except (TypeError, UnicodeEncodeError):
        return _ENCODER.encode(_storable(value))
    return _ENCODER.encode(_storable(value)) if _ESCAPED_NUL in text else text


def _storable(value: object) -> object:
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


def as_batch(items: Sequence[str] | Sequence[Mapping[str, object]]) -> str:
    """Items as the one JSON parameter that `Dialect.batch` and `lock_rows` read."""
    return as_json(items)
