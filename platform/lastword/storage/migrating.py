"""Applying one migration beside processes that work: alone, patient, and unfair to no lease."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import peewee
from playhouse.migrations import Migration, Runner

from lastword.errors import SchemaError
from lastword.logs import log_notice
from lastword.storage.ledger import Ledger

#: How often a migration asks for tables that others hold, and the seconds between two tries: who
#: waits for a table lets nobody pass, so it waits for a short time, often.
TRIES, PAUSE_S = 20, 1.0

#: Milliseconds of a migration that no heartbeat notices.
UNNOTICED_MS = 500

#: PostgreSQL's codes: a lock was not to be had in time; two waited for each other.
_HELD_BY_OTHERS = ("55P03", "40P01")


@contextmanager
def alone(ledger: Ledger) -> Iterator[None]:
    """Keep other processes from migrating; wait for one that does, however long it takes."""
    with ledger.session():
        lock = ledger.dialect.migration_lock
        if lock is None:
            yield
            return
        for statement in lock.take:
            ledger.execute(statement)
        try:
            yield
        finally:
            for statement in lock.give_back:
                ledger.execute(statement)


def apply(ledger: Ledger, runner: Runner, migration: Migration) -> bool:
    """Apply a migration; False if another process has just done so.

    Raises:
        SchemaError: others hold its tables. Nothing of it was applied.
    """
    for _ in range(TRIES):
        try:
            _run(ledger, runner, migration)
            return True
        except peewee.PeeweeException as error:
            # Two processes that migrate one SQLite file at once: the slower one's transaction fails
            # on what the faster one has just made, and then finds it recorded.
            if any(row.name == migration.name and row.applied for row in runner.status()):
                log_notice(logging.INFO, "migration_applied_elsewhere", migration=migration.name)
                return False
            if not _is_held_by_others(error):
                raise
            log_notice(logging.WARNING, "migration_waits", migration=migration.name)
        time.sleep(PAUSE_S)
    raise SchemaError(
        f"migration {migration.name} cannot have its tables: others hold them, and it asked "
        f"{TRIES} times",
        mend="end long transactions (pg_stat_activity shows them), then run `lastword migrate`",
    )


def _run(ledger: Ledger, runner: Runner, migration: Migration) -> None:
    if ledger.is_one_file or not getattr(migration.load(), "atomic", True):
        runner.up(migration.name)
        return
    # Not `ledger.transaction`: it would give up the connection, and the lock, where a try fails.
    with ledger.database.atomic():
        began_ms = _now_ms(ledger)
        runner.up(migration.name)
        took_ms = _now_ms(ledger) - began_ms
        if took_ms > UNNOTICED_MS:
            # Whoever could not renew its lease meanwhile is not silent. Schedulers read leases as
            # soon as this commits, perhaps before the workers that wait have written.
            ledger.execute(_LONGER_LEASES, took_ms, began_ms)


_LONGER_LEASES = (
    "UPDATE lastword_worker SET lease_until = lease_until + %s "
    "WHERE ended_at IS NULL AND lease_until >= %s"
)


def _now_ms(ledger: Ledger) -> int:
    [row] = ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")
    return int(row["now"])


def _is_held_by_others(error: peewee.PeeweeException) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in _HELD_BY_OTHERS
