"""What databases plan for the statements that were really asked: recorded, explained, and read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from lastword.storage.ledger import Ledger

#: Tables that grow with history.
HISTORY = (
    *("lastword_run", "lastword_event", "lastword_attempt"),
    *("lastword_jobs_backup_set", "lastword_jobs_restore"),
)

#: Indexes that hold nothing but what is active: to walk them is what a sweep is for.
ACTIVE = frozenset(
    {
        *("lastword_run_active", "lastword_run_stale", "lastword_run_cancel"),
        *("lastword_run_identity", "lastword_run_scope"),
        *("lastword_jobs_backup_set_open", "lastword_jobs_restore_open"),
    }
)

#: The first columns of the indexes by which single runs, and what belongs to them, are looked up.
_POINT = r"^(id|run_id|identity_hash|scope_key|parent_id) ?= ?"

Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Access:
    """One way in which a plan reads a table.

    Attributes:
        index: the index; None: the table from end to end.
        condition: what is looked for in the index; empty: all of it.
    """

    table: str
    index: str | None
    condition: str

    def is_walk(self, allowed: frozenset[str] = ACTIVE) -> bool:
        """Whether its cost follows the history: neither single rows nor what is active."""
        if self.index is None:
            return True
        # PostgreSQL writes `((id)::text = ...)` where SQLite writes `(id=?)`.
        bare = re.sub(r"::[a-z ]+(\[\])?|[()]", "", self.condition)
        return self.index not in allowed and not re.match(_POINT, bare)


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Every statement that Peewee sends meanwhile, each text once, whatever the thread."""
    seen: dict[str, Statement] = {}
    found: list[Statement] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.msg, tuple) and record.msg[0] not in seen:
                statement, parameters = record.msg
                seen[statement] = (statement, tuple(parameters or ()))
                if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT|WITH)\b", statement):
                    found.append(seen[statement])

    logger, keeper = logging.getLogger("peewee"), Keeper()
    before = logger.level
    logger.addHandler(keeper)
    logger.setLevel(logging.DEBUG)
    try:
        yield found
    finally:
        logger.removeHandler(keeper)
        logger.setLevel(before)


def about_history(statements: Sequence[Statement]) -> list[Statement]:
    """Those that name a table which grows."""
    names = re.compile(rf"\b({'|'.join(HISTORY)})\b")
    return [statement for statement in statements if names.search(statement[0])]


def walks(
    ledger: Ledger, statements: Sequence[Statement], *, but: frozenset[str] = frozenset()
) -> list[str]:
    """The statements whose plan walks history, each with how; `but`: indexes that may be walked."""
    asked = about_history(statements)
    assert asked, "nothing was recorded that could walk anything"
    said = []
    for text, parameters in asked:
        for access in accesses(ledger, text, parameters):
            if access.table in HISTORY and access.is_walk(ACTIVE | but):
                said.append(f"{access}: {text}")
    return said


def accesses(ledger: Ledger, text: str, parameters: Sequence[Any]) -> list[Access]:
    """How a database reads its tables for a statement; nothing is executed."""
    if ledger.is_one_file:
        with ledger.session():
            rows = ledger.execute(f"EXPLAIN QUERY PLAN {text}", *parameters)
        return [access for row in rows for access in _of_sqlite(row["detail"], _aliases(text))]
    return [access for plan in _postgres(ledger, text, parameters) for access in _of_node(plan)]


def _aliases(text: str) -> dict[str, str]:
    names = "|".join(HISTORY)
    found = re.findall(rf"\b({names})\"?(?: AS)? \"?(?!AS\b)([a-z]\w*)\"?", text)
    return {**{alias: table for table, alias in found}, **{name: name for name in HISTORY}}


def _of_sqlite(detail: str, aliases: dict[str, str]) -> Iterator[Access]:
    found = re.match(r"(?:SCAN|SEARCH) (?:TABLE )?(\w+)(?: USING (.+))?", detail)
    if not found or found[1] not in aliases:
        return
    table, using = aliases[found[1]], found[2] or ""
    named = re.search(r"INDEX (\w+)", using)
    condition = re.search(r"\(.*\)", using)
    index = named[1] if named else "rowid" if "INTEGER PRIMARY KEY" in using else None
    # A key of SQLite's own; and its condition names no table: `(id=?)`.
    yield Access(table, index, condition[0].replace("rowid=", "id=") if condition else "")


def _postgres(ledger: Ledger, text: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    """The plan for these values, and the one for any: psycopg prepares what it sends often."""
    numbers = iter(range(1, len(parameters) + 1))
    numbered = re.sub(r"%(s|%)", lambda m: f"${next(numbers)}" if m[1] == "s" else "%", text)
    plans = []
    with ledger.transaction():
        connection = ledger.database.connection()
        literals = psycopg.ClientCursor(connection)
        values = literals.mogrify(", ".join(["%s"] * len(parameters)), parameters)
        called = f"looked_at({values})" if parameters else "looked_at"
        ledger.database.execute_sql(f"PREPARE looked_at AS {numbered}".replace("%", "%%"), ())
        for mode in ("force_custom_plan", "force_generic_plan"):
            connection.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
            row = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {called}".encode()).fetchone()
            plans += [item["Plan"] for item in row[0]]
        connection.execute(b"DEALLOCATE looked_at")
    return plans


def _of_node(node: dict[str, Any], table: str = "") -> Iterator[Access]:
    table = node.get("Relation Name", table)
    if node["Node Type"] == "Seq Scan":
        yield Access(table, None, "")
    if "Index Name" in node:
        yield Access(table, node["Index Name"], node.get("Index Cond", ""))
    for child in node.get("Plans", ()):
        yield from _of_node(child, table if "Bitmap" in node["Node Type"] else "")


def rows_read(ledger: Ledger, text: str, parameters: Sequence[Any]) -> int:
    """How many rows of history PostgreSQL really looks at for a query; it is executed."""
    with ledger.transaction():
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {text}"
        [row] = ledger.execute(explained, *parameters)
    return sum(_looked_at(item["Plan"]) for item in row["QUERY PLAN"])


def _looked_at(node: dict[str, Any]) -> int:
    below = sum(_looked_at(child) for child in node.get("Plans", ()))
    if node.get("Relation Name") not in HISTORY:
        return below
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
    return below + int((node["Actual Rows"] + removed) * node["Actual Loops"])
