"""What SQLite and PostgreSQL write differently: the clock, a batch as a relation, a row lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

ColumnType = Literal["text", "integer", "real"]


@dataclass(frozen=True, slots=True)
class MigrationLock:
    """The statements before and after migrating, on one connection."""

    take: tuple[str, ...]
    give_back: tuple[str, ...]


class Dialect(Protocol):
    """The few words of SQL in which the two databases differ."""

    @property
    def param(self) -> str:
        """The driver's placeholder for one parameter."""

    @property
    def now_ms(self) -> str:
        """The database's clock, in milliseconds since 1970."""

    def batch(self, columns: Mapping[str, ColumnType]) -> str:
        """A relation over ONE parameter, a JSON array of objects.

        A column `x` of the objects is called `item_x`, so that it never shares a name with a column
        of the table it is joined to. The statement's text does not depend on the number of rows.
        """

    def lock_rows(self, table: str) -> str | None:
        """The statement that locks rows in the order of their ids, where that is needed."""

    @property
    def writes_within_with(self) -> bool:
        """Whether a `WITH` may hold statements that write."""

    @property
    def migration_lock(self) -> MigrationLock | None:
        """What lets one process migrate at a time, where a transaction does not do that."""


@dataclass(frozen=True, slots=True)
class Sqlite:
    """SQLite 3.35 or newer."""

    param: str = "?"
    writes_within_with: bool = False
    #: A migration is a transaction, and a transaction has the whole database to itself.
    migration_lock: None = None
    now_ms: str = "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

    def batch(self, columns: Mapping[str, ColumnType]) -> str:
        """See `Dialect.batch`."""
        picked = ", ".join(f"json_extract(value, '$.{name}') AS item_{name}" for name in columns)
        return f"(SELECT {picked} FROM json_each({self.param}))"

    def lock_rows(self, table: str) -> str | None:
        """None: a SQLite transaction has the whole database to itself."""
        del table
        return None


@dataclass(frozen=True, slots=True)
class Postgres:
    """PostgreSQL 14 or newer."""

    param: str = "%s"
    writes_within_with: bool = True
    # Not now(): that is the start of the transaction, which may be an application's long one.
    now_ms: str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"

    #: The number is the lock's name: any, as long as nobody else in the database uses it. To make
    #: an index of a long history may take minutes, and so may the wait for whoever does.
    migration_lock: MigrationLock = MigrationLock(
        take=(
            "SET statement_timeout = 0",
            "SET idle_in_transaction_session_timeout = 0",
            "SET lock_timeout = 0",
            "SELECT pg_advisory_lock(7226881941)",
            "SET lock_timeout = '3s'",
        ),
        give_back=(
            "SELECT pg_advisory_unlock(7226881941)",
            "RESET lock_timeout",
            "RESET idle_in_transaction_session_timeout",
            "RESET statement_timeout",
        ),
    )

    _types: ClassVar[dict[str, str]] = {
        "text": "text",
        "integer": "bigint",
        "real": "double precision",
    }

    def batch(self, columns: Mapping[str, ColumnType]) -> str:
        """See `Dialect.batch`."""
        picked = ", ".join(f"row.{name} AS item_{name}" for name in columns)
        typed = ", ".join(f"{name} {self._types[kind]}" for name, kind in columns.items())
        source = f"jsonb_to_recordset(CAST({self.param} AS jsonb)) AS row({typed})"
        return f"(SELECT {picked} FROM {source})"

    def lock_rows(self, table: str) -> str | None:
        """Locks by id order, so that two batches that overlap wait instead of deadlocking."""
        return (
            f"SELECT COUNT(*) FROM (SELECT id FROM {table} WHERE id IN "
            f"(SELECT jsonb_array_elements_text(CAST({self.param} AS jsonb))) "
            f"ORDER BY id FOR NO KEY UPDATE) AS locked"
        )


SQLITE = Sqlite()
POSTGRES = Postgres()
