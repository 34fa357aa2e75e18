"""The ledger's schema: applying migrations, and refusing to work with another version's schema."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import peewee
from playhouse.migrations import Migration, Runner

from lastword.errors import SchemaError
from lastword.logs import log_notice
from lastword.storage.ledger import Ledger

#: The entry point group whose members name a folder of further migrations.
MIGRATIONS_GROUP = "lastword.migrations"

OWN_MIGRATIONS = Path(__file__).parent / "migrations"

#: The version of the ledger that this code works with.
LATEST = max(file.stem for file in OWN_MIGRATIONS.glob("[0-9]*.py"))


def migrate(ledger: Ledger) -> list[str]:
    """Apply what is missing; the names of what was applied. Safe to run from two places at once.

    Raises:
        SchemaError: the schema is newer than this version.
        LedgerUnavailable: the database does not answer.
    """
    applied: list[str] = []
    with _alone(ledger):
        for name, runner in _runners(ledger):
            _refuse_newer(ledger, runner)
            for migration in _pending(runner):
                if _apply(runner, migration):
                    applied.append(f"{name}/{migration.name}")
    return applied


def require_current_schema(ledger: Ledger) -> None:
    """Refuse to work with any other schema than this version's. Looks once for each `Ledger`.

    Raises:
        SchemaError: something is missing or newer; says what to run.
        LedgerUnavailable: the database does not answer.
    """
    if ledger.schema_is_current:
        return
    with ledger.session():
        for name, runner in _runners(ledger):
            _refuse_newer(ledger, runner)
            pending = _pending(runner)
            if pending:
                raise SchemaError(
                    f"the ledger at {ledger.address} lacks {len(pending)} migration(s) of {name}, "
                    f"the first is {pending[0].name}",
                    mend="run `lastword migrate`",
                )
    ledger.schema_is_current = True


@contextmanager
def _alone(ledger: Ledger) -> Iterator[None]:
    with ledger.session():
        lock = ledger.dialect.migration_lock
        if lock is None:
            yield
            return
        take, give_back = lock
        ledger.execute(take)
        try:
            yield
        finally:
            ledger.execute(give_back)


def _runners(ledger: Ledger) -> Iterator[tuple[str, Runner]]:
    folders = {"lastword": OWN_MIGRATIONS}
    for entry in entry_points(group=MIGRATIONS_GROUP):
        folders[entry.name] = Path(entry.load())
    for name, folder in folders.items():
        yield name, Runner(ledger.database, str(folder), table_name=f"{name}_schema_migration")


def _pending(runner: Runner) -> list[Migration]:
    return [row for row in runner.status() if row.path is not None and not row.applied]


def _refuse_newer(ledger: Ledger, runner: Runner) -> None:
    unknown = [row.name for row in runner.status() if row.path is None]
    if unknown:
        raise SchemaError(
            f"the ledger at {ledger.address} has migration {unknown[-1]}, which this version of "
            f"Lastword does not know",
            mend="upgrade Lastword here to the version that migrated the ledger",
        )


def _apply(runner: Runner, migration: Migration) -> bool:
    try:
        runner.up(migration.name)
    except peewee.PeeweeException:
        # Two processes that migrate one SQLite file at once: the slower one's transaction fails on
        # what the faster one has just made, and then finds it recorded.
        if any(row.name == migration.name and row.applied for row in runner.status()):
            log_notice(logging.INFO, "migration_applied_elsewhere", migration=migration.name)
            return False
        raise
    return True
