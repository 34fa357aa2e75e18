"""The pytest plugin in a project of an application: tests pass, and fail if they must."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lastword.testing
import lastword_scheduler.testing
from lastword_scheduler.bench_ledger import IN_MEMORY
from tests.processes import environment

ROOT = Path(__file__).parents[2]

#: Beside those of the example, one that claims that an actor succeeds which does not.
WRONG = """
def test_this_one_must_fail(lastword_bench):
    run = lastword_bench.start("report.build", account_id=-1)
    lastword_bench.work()
    lastword_bench.assert_ended(run, "succeeded")
"""


def test_an_applications_own_tests_pass_and_fail_as_they_should(
    tmp_path: Path, bench_url: str
) -> None:
    _copy_example(tmp_path)
    if bench_url != IN_MEMORY:
        # In the place of the plugin's own, which is in memory.
        fixture = "import pytest\n\n@pytest.fixture\ndef lastword_ledger_url():\n"
        (tmp_path / "conftest.py").write_text(f"{fixture}    return {bench_url!r}\n")
    (tmp_path / "test_wrong.py").write_text("import tracked_reports\n\n" + WRONG)
    done = _pytest(tmp_path, "-p", "lastword_scheduler.pytest_plugin")
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "is completed/failed (retries_exhausted), expected completed/succeeded" in done.stdout
    # The actor's own line, above what the test says of it.
    assert "tracked_reports.py:" in done.stdout
    assert not (tmp_path / "reports.db").exists()


def test_a_breakpoint_in_an_actor_is_the_tests(tmp_path: Path) -> None:
    _copy_example(tmp_path)
    stops = (
        "import tracked_reports\n\n"
        "def stop(account):\n    breakpoint()\n    account += 1\n\n"
        "def test_it_stops(lastword_bench, monkeypatch):\n"
        "    monkeypatch.setattr(tracked_reports.send_report, 'send', stop)\n"
        "    run = lastword_bench.start('report.build', account_id=42)\n"
        "    lastword_bench.work()\n"
        "    lastword_bench.assert_ended(run, 'succeeded')\n"
    )
    (tmp_path / "test_stops.py").write_text(stops)
    options = ("-p", "lastword_scheduler.pytest_plugin", "-s", "test_stops.py")
    went_on = _pytest(tmp_path, *options, typed="p account + 1\nc\n")
    assert "43" in went_on.stdout
    assert "1 passed" in went_on.stdout, went_on.stdout + went_on.stderr
    left = _pytest(tmp_path, *options, typed="q\n")
    assert "Quitting debugger" in left.stdout, left.stdout + left.stderr
    assert "passed" not in left.stdout


def test_a_project_that_does_not_use_the_fixture_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_light.py").write_text(
        "import sys\n\n\ndef test_light():\n"
        "    assert not {'lastword', 'dramatiq', 'peewee'} & set(sys.modules)\n"
    )
    done = _pytest(tmp_path, "-p", "lastword_scheduler.pytest_plugin")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_bench_is_where_it_is_documented_to_be() -> None:
    assert lastword.testing.Bench is lastword_scheduler.testing.Bench
    assert lastword.testing.bench is lastword_scheduler.testing.bench
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = lastword.testing.nothing


def test_a_bench_without_a_fixture_of_pytest(tmp_path: Path) -> None:
    _copy_example(tmp_path)
    script = (
        "import tracked_reports\nfrom lastword.testing import bench\n"
        "with bench() as b:\n"
        "    run = b.start('report.build', account_id=42)\n    b.work()\n"
        "    b.assert_ended(run, 'succeeded')\nprint('ended')\n"
    )
    env = {**environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "ended" in done.stdout, done.stderr


def test_pytest_finds_the_plugin_by_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plugins = project["entry-points"]["pytest11"]
    assert plugins == {"lastword": "lastword_scheduler.pytest_plugin"}


def _copy_example(folder: Path) -> None:
    for file in (ROOT / "docs" / "examples").glob("*.*"):
        shutil.copy(file, folder)
    shutil.copy(ROOT / "docs" / "examples" / "testing" / "test_reports.py", folder)


def _pytest(
    folder: Path, *arguments: str, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    env = {
        **environment(),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, input=typed, capture_output=True, text=True, timeout=100
    )
