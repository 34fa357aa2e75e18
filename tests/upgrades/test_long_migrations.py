"""A migration that keeps everybody from the ledger for longer than a lease lives."""

from __future__ import annotations

from pathlib import Path

import pytest
from playhouse.migrations import Runner

from lastword.reading.workers import list_workers
from lastword.storage.migrating import alone, apply
from lastword.storage.opening import open_ledger
from tests.fleets import LEASE_S, Fleet
from tests.support import until

TAKES_S = LEASE_S + 1.5

LONG = f"""
def up(migrator, db):
    db.execute_sql("LOCK TABLE lastword_run, lastword_worker IN ACCESS EXCLUSIVE MODE")
    db.execute_sql("SELECT pg_sleep({TAKES_S})")
"""


# A SQLite file is kept from the scheduler too, which then knows that it cannot tell who is silent.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_worker_is_taken_for_dead_because_a_migration_kept_it_from_its_lease(
    fleet: Fleet, database_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_long.py").write_text(LONG)
    fleet.worker()
    fleet.supervisor.run("scheduler", "scheduler")
    finish = tmp_path / "finish"
    run_id = fleet.start("work", until_file=str(finish))
    worker = fleet.running(run_id)
    until(lambda: "scheduler_started" in (tmp_path / "logs" / "scheduler.log").read_text())

    ledger = open_ledger(database_url)
    runner = Runner(ledger.database, str(folder), table_name="test_schema_migration")
    with alone(ledger):
        assert apply(ledger, runner, *runner.status())
    ledger.close()
    beats = renewed(fleet, worker["id"])
    until(lambda: renewed(fleet, worker["id"]) > beats, what="a heartbeat after the migration")
    finish.touch()
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["attempt"], row["worker_id"]) == ("succeeded", 1, worker["id"])


def renewed(fleet: Fleet, worker_id: str) -> str:
    """When a worker, which nobody has given up, last told that it lives."""
    [row] = [row for row in list_workers(fleet.scene.ledger) if row["id"] == worker_id]
    assert row["ended_at"] is None
    return str(row["heartbeat_at"])
