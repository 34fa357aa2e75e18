"""The pytest plugin in a project of an application: tests pass, and fail if they must."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.processes import environment

ROOT = Path(__file__).parents[2]

TESTS = """
import tracked_reports


def test_it_succeeds(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")


def test_it_fails(lastword_bench):
    message = tracked_reports.build_report.send(-1)
    lastword_bench.work()
    lastword_bench.assert_ended(message.message_id, "failed", "retries_exhausted")
    assert lastword_bench.run(message.message_id)["attempt"] == 4


def test_a_lost_message_is_sent_again(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.lose_messages()
    lastword_bench.pass_time(60)
    lastword_bench.sweep()
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")
    assert lastword_bench.run(run)["dispatch"] == 2


def test_a_lost_worker_is_final_where_the_policy_says_so(lastword_bench):
    run = lastword_bench.start("report.send", account_id=42)
    lastword_bench.lose_worker(run)
    lastword_bench.sweep()
    lastword_bench.assert_ended(run, "failed", "worker_lost")


def test_a_lost_worker_is_made_good_where_the_policy_says_so(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.lose_worker(run)
    lastword_bench.sweep()
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")


def test_this_one_must_fail(lastword_bench):
    run = lastword_bench.start("report.build", account_id=42)
    lastword_bench.assert_ended(run, "succeeded")
"""


def test_an_applications_own_tests_pass_and_fail_as_they_should(tmp_path: Path) -> None:
    for file in (ROOT / "docs" / "examples").glob("*.*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "test_reports.py").write_text(TESTS)
    done = _pytest(tmp_path, "-p", "lastword_scheduler.pytest_plugin")
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "is queued/pending (None), expected completed/succeeded (None)" in done.stdout
    assert not (tmp_path / "reports.db").exists()


def test_a_project_that_does_not_use_the_fixture_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_light.py").write_text(
        "import sys\n\n\ndef test_light():\n"
        "    assert not {'lastword', 'dramatiq', 'peewee'} & set(sys.modules)\n"
    )
    done = _pytest(tmp_path, "-p", "lastword_scheduler.pytest_plugin")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_pytest_finds_the_plugin_by_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plugins = project["entry-points"]["pytest11"]
    assert plugins == {"lastword": "lastword_scheduler.pytest_plugin"}


def _pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {
        **environment(),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=100)
