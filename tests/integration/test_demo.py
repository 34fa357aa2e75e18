"""`lastword demo` and `lastword up` as real processes: right to the end, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lastword.config import load_config
from lastword_jobs.demo.system import environment_of
from tests.processes import (
    environment,
    free_port,
    lastword,
    lastword_anew,
    processes_of,
    spawn,
)
from tests.support import until

#: Seconds in which the demo has promised to end by itself.
DEMO_WITHIN_S = 90

#: The last line that `up` says once everything runs.
READY = "lastword runs list"

SMALL = ("--workers", "1", "--threads", "2")


def end_all_in(folder: Path) -> None:
    """What a test that failed left running would slow down every other one."""
    for pid in processes_of(str(folder)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """The temporary folder of one system, by which its processes are known; short, for sockets."""
    made = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    yield made
    end_all_in(made)


@pytest.fixture
def other_folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    yield made
    end_all_in(made)


def settings_in(folder: Path, **settings: object) -> dict[str, str]:
    settings = {"web_addr": f"127.0.0.1:{free_port()}", **settings}
    # Dramatiq's threads look up this often, in milliseconds; a stop takes two such looks.
    quick = {"dramatiq_worker_timeout": "100"}
    return {**environment(**settings), **quick, "TMPDIR": str(folder)}


def up_in(folder: Path) -> tuple[dict[str, str], subprocess.Popen[str]]:
    """A system of its own in `folder`, once it runs."""
    env, process = starting_in(folder)
    line_with(process, READY)
    return env, process


def starting_in(folder: Path) -> tuple[dict[str, str], subprocess.Popen[str]]:
    env = settings_in(folder, data_dir=folder / "data")
    return env, spawn("up", *SMALL, env=env)


def line_with(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process says up to the first line with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said: {process.communicate()}")


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Stop a system; what it said after it was told."""
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        # What hangs must not disturb the tests that follow.
        process.kill()
        process.communicate()
        raise
    assert err.strip() == ""
    return out


def value(*arguments: str, env: dict[str, str]) -> Any:
    done = lastword(*arguments, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_processes_get_the_whole_configuration_of_their_owner(tmp_path: Path) -> None:
    config = load_config(
        {
            "LASTWORD_DATA_DIR": str(tmp_path),
            "LASTWORD_BROKER_NAMESPACE": "elsewhere",
            "LASTWORD_LEASE_TTL": "12.3456789",
            "LASTWORD_MAX_PAYLOAD_BYTES": "4096",
            "LASTWORD_SECRET_KEY": "s3cret",
            "LASTWORD_WEB_ADDR": "127.0.0.1:1",
        }
    )
    given = load_config(environment_of(config))
    assert given == replace(config, database_url=config.ledger_url)


def test_the_demo_ends_by_itself_with_every_run_right_and_leaves_nothing(folder: Path) -> None:
    """Also where the environment says something else than the demo wants."""
    env = settings_in(folder, broker_namespace="elsewhere", log_format="json")
    began = time.monotonic()
    done = lastword_anew("demo", env=env, within_s=DEMO_WITHIN_S + 20)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < DEMO_WITHIN_S
    lines = [line.split("│")[1:-1] for line in done.stdout.splitlines() if line.startswith("│")]
    # A cell that is too long goes on in the next line.
    table = [row for row in lines if row[0].strip()]
    assert len(table) >= 25
    assert len({row[0].strip() for row in table}) == 12
    assert {row[-1].strip() for row in table} == {"yes"}
    assert {row[3].strip() for row in table} == {"completed"}
    assert f"{len(table)} runs, {len(table)} last words, each of them right" in done.stdout
    assert done.stderr == ""
    assert processes_of(str(folder)) == {}
    assert list(folder.iterdir()) == []


def test_a_demo_that_is_told_to_stop_leaves_no_process(folder: Path) -> None:
    process = spawn("demo", env=settings_in(folder))
    line_with(process, "running, attempt 1")
    assert len(processes_of(str(folder))) > 4
    out = stop(process)
    assert process.returncode == 130
    assert processes_of(str(folder)) == {}
    [kept] = folder.glob("lastword-*")
    assert f"logs are kept in {kept}" in out
    assert list(kept.glob("logs/worker-1.log"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_runs_until_it_is_told_to_stop_and_leaves_no_process(
    folder: Path, number: signal.Signals
) -> None:
    env, process = up_in(folder)
    assert len(value("workers", "list", env=env)) == 1
    assert len(processes_of(str(folder))) > 4
    assert "stopped" in stop(process, number)
    assert process.returncode == 0
    assert processes_of(str(folder)) == {}
    assert [entry.name for entry in folder.iterdir()] == ["data"]
    assert not (folder / "data" / "broker.url").exists()


def test_up_can_be_stopped_while_it_starts(folder: Path) -> None:
    process = spawn("up", *SMALL, env=settings_in(folder, data_dir=folder / "data"))
    until((folder / "data" / "broker.url").exists)
    stop(process)
    assert processes_of(str(folder)) == {}
    assert [entry.name for entry in folder.iterdir()] == ["data"]


def test_an_impatient_person_leaves_no_process_either(folder: Path) -> None:
    _, process = up_in(folder)

    def told_again() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None

    until(told_again, within_s=30)
    process.communicate()
    until(lambda: not processes_of(str(folder)), what="every process to end")


def test_a_killed_up_takes_its_processes_along(folder: Path) -> None:
    _, process = up_in(folder)
    process.kill()
    process.communicate()
    until(lambda: not processes_of(str(folder)), within_s=30, what="every process to end")


def test_an_up_whose_redis_was_killed_says_so_and_ends(folder: Path) -> None:
    _, process = up_in(folder)
    [server] = [pid for pid, name in processes_of(str(folder)).items() if "redis-server" in name]
    os.kill(server, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the embedded redis-server has ended" in err
    assert processes_of(str(folder)) == {}


def test_two_systems_side_by_side_do_not_meet(folder: Path, other_folder: Path) -> None:
    (one, first), (two, second) = starting_in(folder), starting_in(other_folder)
    for process in (first, second):
        line_with(process, READY)
    urls = [(path / "data" / "broker.url").read_text() for path in (folder, other_folder)]
    assert urls[0] != urls[1]
    run = value("start", "policy.sync", "--tenant", "contoso", env=one)["run_id"]
    until(lambda: value("runs", "list", "--outcome", "succeeded", env=one), within_s=60)
    assert [row["id"] for row in value("runs", "list", env=one)] == [run]
    assert value("runs", "list", env=two) == []
    stop(first)
    assert processes_of(str(folder)) == {}
    assert value("start", "policy.sync", "--tenant", "contoso", env=two)["result"] == "accepted"
    until(lambda: value("runs", "list", "--outcome", "succeeded", env=two), within_s=60)
    stop(second)
    assert processes_of(str(other_folder)) == {}


def test_a_second_up_in_the_same_folder_is_refused_with_one_line(folder: Path) -> None:
    env, process = up_in(folder)
    refused = lastword("up", env=env)
    assert (refused.returncode, refused.stdout) == (1, "")
    [line] = refused.stderr.splitlines()
    assert f"another command is running in {folder / 'data'}" in line
    assert "LASTWORD_DATA_DIR" in line
    assert len(value("workers", "list", env=env)) == 1
    stop(process)


def test_up_finds_its_ledger_again(folder: Path) -> None:
    env, process = up_in(folder)
    run = value("start", "inventory_sync", "--tenant", "contoso", env=env)["run_id"]
    until(lambda: value("runs", "list", "--status", "completed", env=env), within_s=60)
    stop(process)
    _, again = up_in(folder)
    assert [row["id"] for row in value("runs", "list", env=env)] == [run]
    stop(again)
