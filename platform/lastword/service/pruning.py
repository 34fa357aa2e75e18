"""Retention: history that is old enough is removed, a little at a time. Counters stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lastword.service.counters import Counted, count
from lastword.states import Status
from lastword.storage.ledger import Ledger

#: Rows removed with one transaction: so short that nobody who writes has to wait for it.
BATCH = 500

#: Pages of a SQLite file given back to the system after a batch.
_FREED_PAGES = 1000


def prune(ledger: Ledger, *, older_than_s: float, is_enough: Callable[[], bool]) -> Counter[str]:
    """Remove what ended longer ago than `older_than_s`; how many rows of each table were.

    Attempts and events go with their runs. A run stays as long as the run that it is a part of.

    Args:
        ledger: where.
        older_than_s: the age, in seconds.
        is_enough: asked between two batches.
    """
    removed: Counter[str] = Counter()
    age_ms = int(older_than_s * 1000)
    for table, statement in _STATEMENTS.items():
        while not is_enough():
            now, param = ledger.dialect.now_ms, ledger.dialect.param
            with ledger.transaction():
                rows = ledger.execute(statement.format(now=now, param=param), age_ms)
                if rows:
                    count(ledger, Counted.PRUNED, table, len(rows))
            removed[table] += len(rows)
            if ledger.is_one_file and rows:
                _give_pages_back(ledger)
            if len(rows) < BATCH:
                break
    return +removed


def _give_pages_back(ledger: Ledger) -> None:
    with ledger.session():
        # Each step of this statement frees one page, and only a script is stepped to its end.
        ledger.database.connection().executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")


_STATEMENTS = {
    # First: a slot that outlived its run would seem to have lost it.
    "slot": (
        "DELETE FROM lastword_slot WHERE (schedule_id, slot_at) IN (SELECT schedule_id, slot_at "
        f"FROM lastword_slot WHERE noted_at <= {{now}} - {{param}} LIMIT {BATCH}) "
        "RETURNING slot_at"
    ),
    "run": (
        "DELETE FROM lastword_run WHERE id IN (SELECT id FROM lastword_run AS old "
        "WHERE completed_at IS NOT NULL AND completed_at <= {now} - {param} "
        "AND NOT EXISTS (SELECT 1 FROM lastword_run AS parent WHERE parent.id = old.parent_id "
        f"AND parent.status <> '{Status.COMPLETED}') "
        f"ORDER BY completed_at, id LIMIT {BATCH}) RETURNING id"
    ),
    "worker": (
        "DELETE FROM lastword_worker WHERE id IN (SELECT id FROM lastword_worker AS old "
        "WHERE ended_at IS NOT NULL AND ended_at <= {now} - {param} "
        "AND NOT EXISTS (SELECT 1 FROM lastword_run WHERE completed_at IS NULL "
        "AND (worker_id = old.id OR holder = old.id)) "
        f"LIMIT {BATCH}) RETURNING id"
    ),
}
