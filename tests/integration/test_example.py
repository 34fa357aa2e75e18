"""The example application: untracked as it stands, tracked with two more lines."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

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
    assert len(before) <= 55
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


def test_the_page_highlights_just_these_two_lines() -> None:
    page = (EXAMPLES.parent / "how-to" / "existing-application.md").read_text()
    [numbers] = re.findall(
        r'^```python hl_lines="([\d ]+)"\n--8<-- "docs/examples/tracked_reports.py"', page, re.M
    )
    lines = (EXAMPLES / "tracked_reports.py").read_text().splitlines()
    assert [lines[int(number) - 1] for number in numbers.split()] == [
        "import lastword_middleware",
        'lastword_middleware.install(broker, config="lastword.toml")',
    ]


@contextmanager
def served(module: str, folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The example under Dramatiq's own command line."""
    arguments = [sys.executable, "-m", "dramatiq", module, "--processes", "1", "--threads", "2"]
    with (
        log_of(module, folder).open("w") as log,
        subprocess.Popen(
            arguments, cwd=folder, env=env, stdout=log, stderr=log, text=True
        ) as worker,
    ):
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(30)


def log_of(module: str, folder: Path) -> Path:
    return folder / f"{module}.log"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in EXAMPLES.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    return tmp_path


@pytest.fixture
def env(redis_url: str) -> dict[str, str]:
    settings = environment(broker_url=redis_url, config="lastword.toml")
    return {**settings, "REDIS_URL": redis_url, "PYTHONPATH": os.pathsep.join(sys.path)}


def state_of(account: int, folder: Path) -> str:
    """What the application's own table says of a report; nothing before there is one."""
    with closing(sqlite3.connect(folder / "app.db")) as db:
        if not db.execute("SELECT name FROM sqlite_master").fetchall():
            return ""
        rows = db.execute("SELECT state FROM report WHERE account_id = ?", [account]).fetchall()
    return str(rows[0][0]) if rows else ""


def test_the_example_runs_untracked_and_tracked(folder: Path, env: dict[str, str]) -> None:
    with served("reports", folder, env):
        send(folder, "reports.py", env)
        until(lambda: state_of(42, folder) == "was sent")
    assert not (folder / "reports.db").exists()

    assert lastword("migrate", env=env, cwd=folder).returncode == 0
    with served("tracked_reports", folder, env):
        good, bad = send(folder, "tracked_reports.py", env, "42", "-1")
        with closing(open_ledger(f"sqlite:///{folder / 'reports.db'}")) as ledger:
            scene = Scene(ledger)
            assert scene.completed(good)["outcome"] == "succeeded"
            row = scene.completed(bad)
            until(lambda: count(scene, "report.send") == 1)
    assert (row["outcome"], row["reason"], row["attempt"]) == ("failed", "retries_exhausted", 4)
    listed = lastword("runs", "list", env=env, cwd=folder)
    assert listed.stdout.count("report.build") == 2


def test_a_worker_whose_ledger_is_not_migrated_refuses_to_start(
    folder: Path, env: dict[str, str]
) -> None:
    with served("tracked_reports", folder, env) as worker:
        assert worker.wait(30) != 0
    assert "run `lastword migrate`" in log_of("tracked_reports", folder).read_text()


#: What is killed: a report that is being built, and another that is being sent.
BUILT, SENT = 42, 7

SEND = "import {module} as app; print(app.send_report.send({account}).message_id)"


def test_sigkill_leaves_a_row_that_lies_and_tracked_the_truth_within_a_second(
    folder: Path, env: dict[str, str], redis_url: str
) -> None:
    before, after = folder, folder / "after"
    shutil.copytree(folder, after)
    untracked = {**env, "REDIS_URL": f"{redis_url}?db=1"}
    assert lastword("migrate", env=env, cwd=after).returncode == 0
    messages, _ = kill_in_mid_job("reports", before, untracked)
    (built, sent), killed_ms = kill_in_mid_job("tracked_reports", after, env)

    # Nothing of either application runs now. One has its truth.
    with closing(open_ledger(f"sqlite:///{after / 'reports.db'}")) as ledger:
        scene = Scene(ledger)
        lost = scene.completed(sent)
        again = until(
            lambda: [item for item in scene.events(built) if item["kind"] == "redispatched"]
        )
        assert (lost["outcome"], lost["reason"]) == ("failed", "worker_lost")
        assert max(lost["completed_at"], again[0]["at"]) - killed_ms < 1000
        with served("tracked_reports", after, env):
            row = scene.completed(built)
            until(lambda: state_of(BUILT, after) == "was sent")
    assert (row["outcome"], row["attempt"]) == ("succeeded", 2)

    # The other works again, too, and knows nothing of what it had begun.
    with served("reports", before, untracked):
        send(before, "reports.py", untracked, "1")
        until(lambda: state_of(1, before) == "was sent")
        assert state_of(BUILT, before) == "is being built"
        assert state_of(SENT, before) == "is being sent"
        assert held_by_nobody(untracked["REDIS_URL"]) == set(messages)


def kill_in_mid_job(module: str, folder: Path, env: dict[str, str]) -> tuple[list[str], int]:
    """Kill a worker while it builds one report and sends another; the messages, and when it was."""
    with served(module, folder, {**env, "WORK_SECONDS": "60"}) as serving:
        messages = [
            *send(folder, f"{module}.py", env, str(BUILT)),
            *printed(folder, env, "-c", SEND.format(module=module, account=SENT)),
        ]
        until(lambda: state_of(BUILT, folder) == "is being built")
        until(lambda: state_of(SENT, folder) == "is being sent")
        if module == "tracked_reports":
            with closing(open_ledger(f"sqlite:///{folder / 'reports.db'}")) as ledger:
                scene = Scene(ledger)
                until(lambda: {scene.row(run)["status"] for run in messages} == {"running"})
        log = log_of(module, folder).read_text()
        [worker] = re.findall(r"PID (\d+).*Worker process is ready", log)
        os.kill(int(worker), signal.SIGKILL)
        killed_ms = int(time.time() * 1000)
        serving.wait(30)
    return messages, killed_ms


def held_by_nobody(url: str) -> set[str]:
    """The messages that Dramatiq has given to workers which are no more."""
    with redis.Redis.from_url(url, decode_responses=True) as queue:
        assert queue.llen("dramatiq:default") == 0
        holds = [queue.smembers(key) for key in queue.keys("dramatiq:__acks__.*.default")]
        held = [id_ for hold in holds for id_ in hold]
        bodies = queue.hmget("dramatiq:default.msgs", held)
    return {json.loads(body)["message_id"] for body in bodies}


def send(folder: Path, script: str, env: dict[str, str], *accounts: str) -> list[str]:
    return printed(folder, env, script, *(accounts or ("42",)))


def printed(folder: Path, env: dict[str, str], *arguments: str) -> list[str]:
    """The words that a Python process of the application prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
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
