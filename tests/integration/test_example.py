"""The example application: untracked as it stands, tracked with two more lines."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lastword.storage.opening import open_ledger
from tests.processes import environment, lastword
from tests.support import Scene, until

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def code_of(name: str) -> list[str]:
    """The lines of an example below its docstring."""
    text = (EXAMPLES / name).read_text()
    return text.split('"""', 2)[2].splitlines()


def test_the_application_becomes_tracked_by_two_more_lines() -> None:
    before, after = code_of("reports.py"), code_of("tracked_reports.py")
    assert len(before) <= 30
    changes = [
        line for line in difflib.ndiff(before, after) if line[0] in "+-" and line[2:].strip()
    ]
    named = [line for line in changes if re.search(r'operation="report\.\w+"', line)]
    actors = [line for line in changes if line.startswith("- @dramatiq.actor")]
    assert len(named) == len(actors) == 2
    assert [line for line in changes if line not in named and line not in actors] == [
        "+ import lastword_middleware",
        '+ lastword_middleware.install(broker, config="lastword.toml")',
    ]


@contextmanager
def served(module: str, folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The example under Dramatiq's own command line."""
    arguments = [sys.executable, "-m", "dramatiq", module, "--processes", "1", "--threads", "2"]
    with (
        (folder / "worker.log").open("w") as log,
        subprocess.Popen(
            arguments, cwd=folder, env=env, stdout=log, stderr=log, text=True
        ) as worker,
    ):
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in EXAMPLES.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    return tmp_path


def test_the_example_runs_untracked_and_tracked(folder: Path, redis_url: str) -> None:
    env = {**environment(), "REDIS_URL": redis_url, "PYTHONPATH": os.pathsep.join(sys.path)}
    tracked = {**env, "LASTWORD_CONFIG": "lastword.toml"}
    with served("reports", folder, env):
        send(folder, "reports.py", env)
        until(lambda: "report 42 is on its way" in (folder / "worker.log").read_text())
    assert not (folder / "reports.db").exists()

    assert lastword("migrate", env=tracked, cwd=folder).returncode == 0
    with served("tracked_reports", folder, env):
        good, bad = send(folder, "tracked_reports.py", env, "42", "-1")
        ledger = open_ledger(f"sqlite:///{folder / 'reports.db'}")
        scene = Scene(ledger)
        assert scene.completed(good)["outcome"] == "succeeded"
        row = scene.completed(bad)
        assert (row["outcome"], row["reason"], row["attempt"]) == ("failed", "retries_exhausted", 4)
        until(lambda: count(scene, "report.send") == 1)
        ledger.close()
    listed = lastword("runs", "list", env=tracked, cwd=folder)
    assert listed.stdout.count("report.build") == 2


def test_a_worker_whose_ledger_is_not_migrated_refuses_to_start(
    folder: Path, redis_url: str
) -> None:
    env = {**environment(), "REDIS_URL": redis_url, "PYTHONPATH": os.pathsep.join(sys.path)}
    with served("tracked_reports", folder, env) as worker:
        assert worker.wait(30) != 0
    assert "run `lastword migrate`" in (folder / "worker.log").read_text()


def send(folder: Path, script: str, env: dict[str, str], *accounts: str) -> list[str]:
    arguments = [sys.executable, script, *(accounts or ("42",))]
    done = subprocess.run(
        arguments, cwd=folder, env=env, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.split()


def count(scene: Scene, operation: str) -> int:
    with scene.ledger.session():
        [row] = scene.ledger.execute(
            "SELECT COUNT(*) AS runs FROM lastword_run "
            "WHERE operation = ? AND outcome = 'succeeded'",
            operation,
        )
    return int(row["runs"])
