"""Schema, migrations, transactions and the clock: the same promises on both databases."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import peewee
import pytest

from lastword.errors import LedgerUnavailable, SchemaError
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import LATEST, migrate, newer_migrations, require_current_schema
from lastword.storage.tables import MODELS
from tests.support import Scene


def test_migrating_twice_changes_nothing(ledger: Ledger) -> None:
    assert migrate(ledger) == []
    require_current_schema(ledger)


def test_an_empty_database_is_refused_with_the_command_to_run(empty_database_url: str) -> None:
    empty = open_ledger(empty_database_url)
    with pytest.raises(SchemaError, match="lastword migrate"):
        require_current_schema(empty)
    empty.close()


def add_migration_of_a_newer_version(ledger: Ledger, name: str) -> None:
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO lastword_schema_migration (name, applied) "
            f"VALUES ('{name}', '2030-01-01 00:00:00')"
        )
    ledger.schema_is_current = False


def test_a_ledger_of_which_a_newer_version_took_something_is_refused(ledger: Ledger) -> None:
    add_migration_of_a_newer_version(ledger, "9999_contract_holders")
    for refuse in (require_current_schema, migrate):
        with pytest.raises(SchemaError, match=r"9999_contract_holders.*upgrade Lastword"):
            refuse(ledger)


def test_a_ledger_to_which_a_newer_version_added_something_is_worked_with(ledger: Ledger) -> None:
    add_migration_of_a_newer_version(ledger, "9999_later")
    require_current_schema(ledger)
    assert migrate(ledger) == []
    assert newer_migrations(ledger) == ["9999_later"]


def test_what_another_version_has_migrated_is_not_migrated_further(ledger: Ledger) -> None:
    add_migration_of_a_newer_version(ledger, "9999_later")
    with ledger.transaction():
        ledger.execute(f"DELETE FROM lastword_schema_migration WHERE name = '{LATEST}'")
    with pytest.raises(SchemaError, match=rf"9999_later.*lacks {LATEST}"):
        migrate(ledger)


def test_processes_that_migrate_at_once_all_find_it_done(empty_database_url: str) -> None:
    errors: list[BaseException] = []
    ready = threading.Barrier(4)

    def migrate_here() -> None:
        ledger = open_ledger(empty_database_url)
        ready.wait()
        try:
            migrate(ledger)
            require_current_schema(ledger)
        except Exception as error:  # noqa: BLE001 - judged by the test
            errors.append(error)
        finally:
            ledger.close()

    threads = [threading.Thread(target=migrate_here) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_models_name_the_columns_that_the_migrations_make(ledger: Ledger) -> None:
    with ledger.session():
        for model in MODELS:
            columns = {
                column.name: column.null
                for column in ledger.database.get_columns(model._meta.table_name)
            }
            fields = {field.column_name: field.null for field in model._meta.sorted_fields}
            assert fields == columns, model


def test_the_ledgers_clock_is_the_databases(ledger: Ledger) -> None:
    with ledger.session():
        [row] = ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")
    assert abs(row["now"] - time.time() * 1000) < 5000


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def fail_after_writing() -> None:
        with ledger.transaction():
            Scene(ledger).worker()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_writing()
    with ledger.session():
        assert ledger.execute("SELECT * FROM lastword_worker") == []


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_full_disk_is_named_and_nothing_is_half_written(
    sqlite_ledger: Ledger, in_transaction: bool
) -> None:
    statement = (
        "INSERT INTO lastword_counter (name, label, value) "
        "VALUES (HEX(ZEROBLOB(1000000)), 'x', 1) RETURNING label"
    )
    [size] = sqlite_ledger.execute("PRAGMA page_count")
    sqlite_ledger.execute(f"PRAGMA max_page_count = {size['page_count']}")
    # One that fails as it is committed, when its row has been fetched; one that SQLite rolls back.
    opened = sqlite_ledger.transaction if in_transaction else sqlite_ledger.session
    with pytest.raises(LedgerUnavailable, match="disk is full; make room"), opened():
        sqlite_ledger.execute(statement)
    sqlite_ledger.execute("PRAGMA max_page_count = 1000000")
    with sqlite_ledger.transaction():
        assert sqlite_ledger.execute("SELECT COUNT(*) AS n FROM lastword_counter") == [{"n": 0}]
        sqlite_ledger.execute(statement)


def test_writers_in_many_threads_wait_for_each_other(ledger: Ledger) -> None:
    scene = Scene(ledger)
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for _ in range(20):
                scene.accept()
        except Exception as error:  # noqa: BLE001 - judged by the test
            errors.append(error)
        finally:
            if isinstance(ledger.database, peewee.SqliteDatabase):
                ledger.close()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with ledger.session():
        assert ledger.execute("SELECT COUNT(*) AS runs FROM lastword_run") == [{"runs": 120}]


def test_a_forked_child_opens_connections_of_its_own(ledger: Ledger) -> None:
    scene = Scene(ledger)
    with ledger.session():
        pid = os.fork()
        if pid == 0:
            try:
                scene.accept()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        scene.accept()
    with ledger.session():
        assert ledger.execute("SELECT COUNT(*) AS runs FROM lastword_run") == [{"runs": 2}]


# In a process of its own, because interrupts that land between two lines end whatever they hit.
INTERRUPTED_WRITER = """
import ctypes, sys, threading, time
from lastword.storage.opening import open_ledger
from tests.support import Scene

class Interrupted(BaseException):
    pass

ledger = open_ledger(sys.argv[1])
scene = Scene(ledger)
stop = threading.Event()

def work():
    while not stop.is_set():
        with ledger.transaction():
            scene.accept()

threading.excepthook = lambda *details: None
for _ in range(50):
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.003)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupted)
    )
    thread.join()
print("interrupted", flush=True)
sys.stdin.read()
"""


def test_an_interrupted_transaction_does_not_stay_open(ledger: Ledger, database_url: str) -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", INTERRUPTED_WRITER, database_url]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"interrupted\n"
        # The process lives on, and none of its connections holds a lock: others write at once.
        began = time.monotonic()
        Scene(ledger).accept()
        assert time.monotonic() - began < 2
        writer.kill()
