"""The ledger's schema: bringing it to this version, and refusing one that does not fit.

Migrations only add, and processes of the version before go on with what they know. What nobody
uses any more is taken away by a migration of a later version, whose name says so (`CONTRACT`).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from playhouse.migrations import Migration, Runner

from lastword.errors import SchemaError
from lastword.storage.ledger import Ledger
from lastword.storage.migrating import alone, apply

#: The entry point group whose members name a folder of further migrations.
MIGRATIONS_GROUP = "lastword.migrations"

#: What follows the number in the name of a migration after which code that does not know it would
#: fail: `0009_contract_holders`. With any other that it does not know, a process works.
CONTRACT = "contract_"

OWN_MIGRATIONS = Path(__file__).parent / "migrations"

#: The version of the ledger that this code works with.
LATEST = max(file.stem for file in OWN_MIGRATIONS.glob("[0-9]*.py"))


def migrate(ledger: Ledger) -> list[str]:
    """Apply what is missing; the names of what was applied. Safe to run from two places at once.

    Processes that work go on meanwhile: they wait for what a migration has locked.

    Raises:
        SchemaError: the schema is of a newer version that this one cannot work with, or others hold
            its tables.
        LedgerUnavailable: the database does not answer.
    """
    applied: list[str] = []
    with alone(ledger):
        for name, runner in _runners(ledger):
            _refuse_contracted(ledger, runner)
            pending = _pending(runner)
            if pending:
                _refuse_other_history(ledger, runner, pending)
            for migration in pending:
                if apply(ledger, runner, migration):
                    applied.append(f"{name}/{migration.name}")
    return applied


def require_current_schema(ledger: Ledger) -> None:
    """Refuse to work with a schema that lacks something, or that a newer version took something of.

    Looks once for each `Ledger`: who works already goes on.

    Raises:
        SchemaError: it does not fit; says what to run.
        LedgerUnavailable: the database does not answer.
    """
    if ledger.schema_is_current:
        return
    with ledger.session():
        for name, runner in _runners(ledger):
            _refuse_contracted(ledger, runner)
            pending = _pending(runner)
            if pending:
                raise SchemaError(
                    f"the ledger at {ledger.address} lacks {len(pending)} migration(s) of {name}, "
                    f"the first is {pending[0].name}",
                    mend="run `lastword migrate`",
                )
    ledger.schema_is_current = True


def newer_migrations(ledger: Ledger) -> list[str]:
    """What a newer version has added to the ledger, and this one does not know."""
    with ledger.session():
        return [name for _, runner in _runners(ledger) for name in _unknown(runner)]


def _runners(ledger: Ledger) -> Iterator[tuple[str, Runner]]:
    folders = {"lastword": OWN_MIGRATIONS}
    for entry in entry_points(group=MIGRATIONS_GROUP):
        folders[entry.name] = Path(entry.load())
    for name, folder in folders.items():
        yield name, Runner(ledger.database, str(folder), table_name=f"{name}_schema_migration")


def _pending(runner: Runner) -> list[Migration]:
    return [row for row in runner.status() if row.path is not None and not row.applied]


def _unknown(runner: Runner) -> list[str]:
    return [row.name for row in runner.status() if row.path is None]


def _refuse_contracted(ledger: Ledger, runner: Runner) -> None:
    for name in _unknown(runner):
        if name.partition("_")[2].startswith(CONTRACT):
            raise SchemaError(
                f"the ledger at {ledger.address} has migration {name}, after which this version of "
                f"Lastword cannot work with it",
                mend="upgrade Lastword here to the version that migrated the ledger",
            )


def _refuse_other_history(ledger: Ledger, runner: Runner, pending: list[Migration]) -> None:
    unknown = _unknown(runner)
    if unknown:
        raise SchemaError(
            f"the ledger at {ledger.address} has migration {unknown[-1]}, which this version of "
            f"Lastword does not know, and lacks {pending[0].name}",
            mend="migrate with the newest version that works with this ledger",
        )
