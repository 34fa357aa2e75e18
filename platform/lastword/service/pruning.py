"""Retention: history that is old enough is removed, a little at a time. Counters stay."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from lastword.service.counters import Counted, count
from lastword.storage.ledger import Ledger, as_batch

#: Rows removed with one transaction: so short that nobody who writes has to wait for it.
BATCH = 500

#: Seconds between two transactions on a SQLite file. Whoever waits for its lock looks every 25 ms
#: at first: with less, batch after batch would take it before anybody else could.
BREATH_S = 0.03

#: Pages of a SQLite file given back to the system with one transaction.
FREED_PAGES = 500

#: The share of a SQLite file's pages that stay free: what is written next takes them.
KEPT_FREE = 0.1

#: What belongs to a run and goes with it, by the column that names the run. Removed by name, not by
#: a foreign key that cascades: that would be one more statement for each run and table.
_BELONGINGS = ("lastword_event", "lastword_attempt", "lastword_notification")

#: Says whether it is enough for now.
IsEnough = Callable[[], bool]


def prune(ledger: Ledger, *, older_than_s: float, is_enough: IsEnough) -> Counter[str]:
    """Remove what ended longer ago than `older_than_s`; how many rows of each table were.

    Attempts, events and notifications go with their runs. A run stays as long as the run that it is
    a part of.

    Args:
        ledger: where.
        older_than_s: the age, in seconds.
        is_enough: asked between two batches.
    """
    with ledger.session():
        [row] = ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")
    # One moment for all of it: what grows old meanwhile is the next sweep's.
    until_ms = row["now"] - int(older_than_s * 1000)
    removed = Counter(
        # First: a slot that outlived its run would seem to have lost it.
        slot=_remove(ledger, "slot", _SLOTS, until_ms, is_enough),
        run=_remove_runs(ledger, until_ms, is_enough),
        worker=_remove(ledger, "worker", _WORKERS, until_ms, is_enough),
    )
    return +removed


def give_pages_back(ledger: Ledger, *, is_enough: IsEnough) -> int:
    """Let a SQLite file shrink to what is in it, and some room for what comes; pages given back.

    Args:
        ledger: where.
        is_enough: asked between two batches.
    """
    given = 0
    while ledger.is_one_file and not is_enough():
        with ledger.session():
            [free] = ledger.execute("PRAGMA freelist_count")
            [all_] = ledger.execute("PRAGMA page_count")
            spare = free["freelist_count"] - int(all_["page_count"] * KEPT_FREE)
            if spare <= 0:
                break
            pages = min(spare, FREED_PAGES)
            # Each step of this statement frees one page, and only a script is stepped to its end.
            script = f"PRAGMA incremental_vacuum({pages})"
            ledger.database.connection().executescript(script)
        given += pages
        _breathe(ledger)
    return given


def _remove(ledger: Ledger, table: str, statement: str, until_ms: int, is_enough: IsEnough) -> int:
    removed = 0
    while not is_enough():
        with ledger.transaction():
            rows = ledger.execute(statement.format(param=ledger.dialect.param), until_ms)
            if rows:
                count(ledger, Counted.PRUNED, table, len(rows))
        removed += len(rows)
        if len(rows) < BATCH:
            break
        _breathe(ledger)
    return removed


def _remove_runs(ledger: Ledger, until_ms: int, is_enough: IsEnough) -> int:
    removed = 0
    # Batches go on where the one before ended: the index still holds what was removed, and what
    # stays for its parent's sake, and each of them would walk all of that again.
    after: tuple[int, str] = (0, "")
    while not is_enough():
        with ledger.transaction():
            found = ledger.execute(_old_runs(ledger), until_ms, *after)
            if not found:
                return removed
            ids = as_batch([{"id": row["id"]} for row in found])
            for table in _BELONGINGS:
                ledger.execute(_of_these(ledger, table, "run_id"), ids)
            ledger.execute(_of_these(ledger, "lastword_run", "id"), ids)
            count(ledger, Counted.PRUNED, "run", len(found))
        removed += len(found)
        if len(found) < BATCH:
            break
        after = (found[-1]["completed_at"], found[-1]["id"])
        _breathe(ledger)
    return removed


def _breathe(ledger: Ledger) -> None:
    if ledger.is_one_file:
        time.sleep(BREATH_S)


def _old_runs(ledger: Ledger) -> str:
    param = ledger.dialect.param
    # Locked, so that whoever adds a late result to such a run waits, and finds it gone. Another
    # sweep that is at it has the same rows in the same order, and is left to them.
    lock = "" if ledger.is_one_file else " FOR UPDATE OF old SKIP LOCKED"
    return (
        "SELECT id, completed_at FROM lastword_run AS old WHERE completed_at IS NOT NULL "
        f"AND completed_at <= {param} AND (completed_at, id) > ({param}, {param}) "
        "AND NOT EXISTS (SELECT 1 FROM lastword_run AS parent WHERE parent.id = old.parent_id "
        f"AND parent.completed_at IS NULL) ORDER BY completed_at, id LIMIT {BATCH}{lock}"
    )


def _of_these(ledger: Ledger, table: str, column: str) -> str:
    item = ledger.dialect.batch({"id": "text"})
    return f"DELETE FROM {table} WHERE {column} IN (SELECT item_id FROM {item} AS item)"


_SLOTS = (
    "DELETE FROM lastword_slot WHERE (schedule_id, slot_at) IN (SELECT schedule_id, slot_at "
    f"FROM lastword_slot WHERE noted_at <= {{param}} LIMIT {BATCH}) RETURNING slot_at"
)

# Those that active runs name are gathered once for each batch: asked for each worker, the active
# runs would be walked as often as there are workers.
_WORKERS = (
    "DELETE FROM lastword_worker WHERE id IN (SELECT id FROM lastword_worker "
    "WHERE ended_at IS NOT NULL AND ended_at <= {param} AND id NOT IN ("
    "SELECT worker_id FROM lastword_run WHERE completed_at IS NULL AND worker_id IS NOT NULL "
    "UNION SELECT holder FROM lastword_run WHERE completed_at IS NULL AND holder IS NOT NULL) "
    f"LIMIT {BATCH}) RETURNING id"
)
