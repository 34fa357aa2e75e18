"""Migrating a PostgreSQL ledger that others use: nothing waits for ever, no lease is lost to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playhouse.migrations import Runner

from lastword.errors import SchemaError
from lastword.storage import migrating
from lastword.storage.ledger import Ledger
from lastword.storage.migrating import alone, apply
from lastword.storage.opening import open_ledger
from tests.support import Scene, until


@pytest.fixture
def postgres(new_postgres_url: str) -> Iterator[Ledger]:
    opened = open_ledger(new_postgres_url)
    yield opened
    opened.close()


def setting(ledger: Ledger, name: str) -> str:
    [row] = ledger.execute(f"SHOW {name}")
    return str(row[name])


def runner_of(ledger: Ledger, folder: Path, statement: str) -> Runner:
    """A migration of an extension that does one thing, and is quick to lose patience."""
    (folder / "0001_one.py").write_text(
        "def up(migrator, db):\n"
        "    db.execute_sql(\"SET LOCAL lock_timeout = '50ms'\")\n"
        f"    db.execute_sql({statement!r})\n"
    )
    return Runner(ledger.database, str(folder), table_name="test_schema_migration")


def test_a_migration_has_all_the_time_it_takes_and_others_do_not(postgres: Ledger) -> None:
    with alone(postgres):
        assert setting(postgres, "statement_timeout") == "0"
        assert setting(postgres, "lock_timeout") == "3s"
    with postgres.session():
        assert setting(postgres, "statement_timeout") == "15s"
        assert setting(postgres, "lock_timeout") == "5s"


def test_a_lease_lives_on_for_as_long_as_a_migration_took(postgres: Ledger, tmp_path: Path) -> None:
    scene = Scene(postgres)
    alive, dead = scene.worker(), scene.worker(lease_ttl_s=-1)
    before = leases(postgres)
    runner = runner_of(postgres, tmp_path, "SELECT pg_sleep(0.6)")
    with alone(postgres):
        assert apply(postgres, runner, *runner.status())
    after = leases(postgres)
    assert 600 <= after[alive] - before[alive] < 5000
    assert after[dead] == before[dead]


def leases(ledger: Ledger) -> dict[str, int]:
    with ledger.session():
        rows = ledger.execute("SELECT id, lease_until FROM lastword_worker")
    return {row["id"]: row["lease_until"] for row in rows}


def test_a_migration_asks_again_for_a_table_that_somebody_holds(
    postgres: Ledger, new_postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = runner_of(postgres, tmp_path, "ALTER TABLE lastword_run ADD COLUMN more TEXT")
    applied: list[bool] = []

    def migrate_here() -> None:
        with alone(postgres):
            applied.append(apply(postgres, runner, *runner.status()))

    with psycopg.connect(new_postgres_url) as other:
        other.execute("LOCK TABLE lastword_run IN ROW EXCLUSIVE MODE")
        thread = threading.Thread(target=migrate_here)
        thread.start()
        until(lambda: "migration_waits" in caplog.text)
        assert not applied
    thread.join()
    assert applied == [True]


def test_who_cannot_have_its_tables_says_what_to_do_and_has_done_nothing(
    postgres: Ledger, new_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "TRIES", 1)
    runner = runner_of(postgres, tmp_path, "ALTER TABLE lastword_run ADD COLUMN more TEXT")
    with psycopg.connect(new_postgres_url) as other:
        other.execute("LOCK TABLE lastword_run IN ROW EXCLUSIVE MODE")
        with alone(postgres), pytest.raises(SchemaError, match=r"0001_one.*pg_stat_activity"):
            apply(postgres, runner, *runner.status())
    with postgres.session():
        assert [row.applied for row in runner.status()] == [None]


def test_what_belongs_to_a_run_goes_with_it_whoever_removes_it(ledger: Ledger) -> None:
    # As a scheduler of a version does that relies on foreign keys.
    scene = Scene(ledger)
    run_id, other = scene.accept(), scene.accept()
    worker_id = scene.worker()
    scene.claim(run_id, worker_id)
    scene.claim(other, worker_id)
    with ledger.transaction():
        ledger.execute(f"DELETE FROM lastword_run WHERE id = '{run_id}'")
    with ledger.session():
        for table in ("event", "attempt"):
            rows = ledger.execute(f"SELECT DISTINCT run_id FROM lastword_{table}")
            assert rows == [{"run_id": other}]
