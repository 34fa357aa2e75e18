"""The example of a type-specific reconciler, installed beside ours: its record has the say."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from lastword.domains import DomainReconciler
from lastword.storage.opening import open_ledger
from lastword_jobs.reconcilers import BackupReconciler, RestoreReconciler
from lastword_scheduler.timetable import named
from tests.processes import LASTWORD, environment, lastword, lastword_anew
from tests.support import Scene, until

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "exports"

#: Takes the worker along as soon as the record is written: its run looks lost.
DIES = """
import os, signal
import peewee, exports

class Deadly(peewee.SqliteDatabase):
    def execute_sql(self, sql, params=None):
        done = super().execute_sql(sql, params)
        if sql.startswith('UPDATE "export"'):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

exports.database = Deadly("exports.db", pragmas={"journal_mode": "wal"}, timeout=10)
exports.Export.bind(exports.database)
broker = exports.make_application()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "app"))
    arguments = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "installed")]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *arguments, str(folder)],
        check=True,
        timeout=120,
    )
    (folder / "dying.py").write_text(DIES)
    return folder


@pytest.fixture
def env(folder: Path, redis_url: str) -> dict[str, str]:
    settings = environment(
        broker_url=redis_url,
        config="lastword.toml",
        data_dir=folder,
        heartbeat_interval=0.3,
        lease_ttl=2,
        sweep_interval=0.3,
        metrics_addr="127.0.0.1:0",
    )
    env = {**settings, "PYTHONPATH": str(folder.parent / "installed"), "PYTHONUNBUFFERED": "1"}
    done = lastword("migrate", env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    return env


def test_a_record_that_holds_the_end_wins_over_the_loss_of_its_worker(
    folder: Path, env: dict[str, str]
) -> None:
    log = (folder / "log").open("w")
    with (
        log,
        subprocess.Popen(
            [*LASTWORD, "scheduler"], cwd=folder, env=env, stdout=log, stderr=log
        ) as scheduler,
        subprocess.Popen(
            [*LASTWORD, "worker", "dying", "--threads", "1"],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
        ) as worker,
    ):
        try:
            started = lastword_anew("start", "export.write", "--app", "dying", env=env, cwd=folder)
            assert started.returncode == 0, started.stderr
            [run_id] = _runs(folder)
            ledger = open_ledger(f"sqlite:///{folder / 'exports.db'}")
            row = Scene(ledger).completed(run_id)
            ledger.close()
            until(lambda: worker.poll() is not None, within_s=30)
        finally:
            for process in (scheduler, worker):
                process.terminate()
                process.wait(30)
    assert (row["outcome"], row["closed_by"]) == ("succeeded", "adapter"), (
        folder / "log"
    ).read_text()


def _runs(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "exports.db", timeout=10)
    try:
        return [row[0] for row in connection.execute("SELECT id FROM lastword_run")]
    finally:
        connection.close()


def test_reconcilers_that_share_a_source_are_told_apart() -> None:
    namesake: type[DomainReconciler] = type("AnotherReconciler", (RestoreReconciler,), {})
    namesake.__module__ = "elsewhere"
    all_of_them: list[DomainReconciler] = [
        *(RestoreReconciler(), BackupReconciler()),
        *(AnotherReconciler(), namesake()),
    ]
    assert named(all_of_them) == {
        "adapter": all_of_them[0],
        "backup_schedule": all_of_them[1],
        "adapter.AnotherReconciler": all_of_them[2],
        "adapter.elsewhere.AnotherReconciler": all_of_them[3],
    }


class AnotherReconciler(RestoreReconciler):
    """Somebody else's, under the same source."""
