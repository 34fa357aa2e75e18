"""Workers that are told or asked to stop: nothing new, all that is begun, others in their place."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from lastword.reading.workers import list_workers
from tests.fleets import Fleet
from tests.processes import LASTWORD, lastword, spawn
from tests.support import until


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    """One database is enough for how processes end; test_processes.py has both."""
    return new_postgres_url


@contextmanager
def unit(
    fleet: Fleet, name: str, *arguments: str, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """One worker without anybody who starts it again, once it works."""
    before = len(alive(fleet))
    with (
        (fleet.folder / f"{name}.log").open("a") as log,
        subprocess.Popen(
            [*LASTWORD, "worker", "tests.fleet", *arguments],
            env={**os.environ, **fleet.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            until(lambda: len(alive(fleet)) == before + 1, what="the worker to come up")
            until(lambda: "is booting up" in (fleet.folder / f"{name}.log").read_text())
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def alive(fleet: Fleet) -> list[dict[str, object]]:
    return [row for row in list_workers(fleet.scene.ledger) if row["ending"] is None]


def operator(
    fleet: Fleet, *arguments: str, within_s: float = 60
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **fleet.environment}
    return lastword("workers", *arguments, env=env, within_s=within_s)


def test_a_draining_worker_gives_back_what_it_has_not_begun_and_ends_what_it_has(
    fleet: Fleet,
) -> None:
    go_on = fleet.folder / "go-on"
    with unit(fleet, "first", "--threads", "1", LASTWORD_WORKER_SHUTDOWN_TIMEOUT="30") as first:
        long = fleet.start("work", until_file=str(go_on))
        fleet.running(long)
        waiting = [fleet.start("work") for _ in range(3)]
        until(lambda: all(fleet.scene.row(run_id)["holder"] for run_id in waiting[:1]))
        first.terminate()
        with unit(fleet, "second", "--threads", "1"):
            for run_id in waiting:
                assert fleet.scene.completed(run_id)["attempt"] == 1
            # The first has not ended: others had its work all the same.
            assert first.poll() is None
            # It says so with its next heartbeat.
            until(lambda: {row["state"] for row in alive(fleet)} == {"draining", "active"})
            late = fleet.start("work")
            assert fleet.scene.completed(late)["outcome"] == "succeeded"
            go_on.touch()
            assert first.wait(30) == 0
        assert fleet.scene.completed(long)["outcome"] == "succeeded"
    for run_id in (long, *waiting, late):
        row = fleet.scene.row(run_id)
        assert (row["attempt"], row["lost_deliveries"], row["probation"]) == (1, 0, 0)
    pid = {line[3] for line in fleet.journal("begin") if line[1] in waiting}
    assert len(pid) == 1


def test_every_thread_gets_the_whole_time_that_was_promised(fleet: Fleet) -> None:
    """Dramatiq alone subtracts the time since the beginning once for each thread.

    It would wait 4 s for the first, 2 s less for the second, and nothing for the fourth.
    """
    with unit(fleet, "unit", "--threads", "4", LASTWORD_WORKER_SHUTDOWN_TIMEOUT="6") as worker:
        short = [fleet.start("work", seconds=2.5) for _ in range(3)]
        for run_id in short:
            fleet.running(run_id)
        long = fleet.start("work", seconds=4)
        fleet.running(long)
        worker.terminate()
        assert worker.wait(30) == 0
    for run_id in (*short, long):
        row = fleet.scene.row(run_id)
        assert (row["outcome"], row["attempt"]) == ("succeeded", 1)
    [known] = list_workers(fleet.scene.ledger)
    assert (known["ending"], known["cause"], known["state"]) == ("stopped", None, "stopped")
    assert known["draining_at"] is not None


def test_an_operator_drains_all_workers_and_they_exit_with_0(fleet: Fleet) -> None:
    go_on = fleet.folder / "go-on"
    with unit(fleet, "first") as first, unit(fleet, "second") as second:
        runs = [fleet.start("work", until_file=str(go_on)) for _ in range(2)]
        for run_id in runs:
            fleet.running(run_id)
        env = {**os.environ, **fleet.environment}
        with spawn("workers", "drain", "--all", env=env) as asking:
            assert asking.stdout is not None
            assert asking.stderr is not None
            said = ""
            while not re.search("draining, working on [12] run", said):
                said += asking.stdout.readline()
                assert asking.poll() is None
            go_on.touch()
            # Not communicate(): it would not give what readline() has read ahead.
            said += asking.stdout.read()
            assert (asking.wait(60), asking.stderr.read()) == (0, "")
        assert (first.wait(30), second.wait(30)) == (0, 0)
        assert said.count(": drained in ") == 2
    assert {fleet.scene.row(run_id)["outcome"] for run_id in runs} == {"succeeded"}
    assert all(row["drain_requested_at"] for row in list_workers(fleet.scene.ledger))
    log = (fleet.folder / "first.log").read_text()
    assert "drain_requested" in log
    assert "exited unexpectedly" not in log
    assert operator(fleet, "drain", "--all").stdout == "no worker is alive\n"


def test_a_drain_that_takes_too_long_is_told_and_goes_on(fleet: Fleet) -> None:
    go_on = fleet.folder / "go-on"
    with unit(fleet, "unit", LASTWORD_WORKER_SHUTDOWN_TIMEOUT="30") as worker:
        run_id = fleet.start("work", until_file=str(go_on))
        fleet.running(run_id)
        [row] = alive(fleet)
        done = operator(fleet, "drain", str(row["id"])[:30], "--within", "1")
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert "has not ended in 1 s, working on 1 run; it goes on draining" in line
        go_on.touch()
        assert worker.wait(30) == 0
    assert fleet.scene.completed(run_id)["outcome"] == "succeeded"


def test_a_worker_that_dies_while_it_drains_is_told_as_lost(fleet: Fleet) -> None:
    with unit(fleet, "unit", LASTWORD_WORKER_SHUTDOWN_TIMEOUT="30"):
        run_id = fleet.start("once", until_file=str(fleet.folder / "never"))
        pid = int(str(fleet.running(run_id)["pid"]))

        def kill() -> None:
            until(lambda: alive(fleet)[0]["state"] == "draining")
            os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        done = operator(fleet, "drain", "--all")
        killer.join()
    assert done.returncode == 1
    assert "did not end in good order" in done.stderr
    assert fleet.scene.completed(run_id)["reason"] == "worker_lost"


def test_a_restart_is_rolling_and_brings_the_new_build(fleet: Fleet) -> None:
    fleet.supervisor.environment = {**fleet.supervisor.environment, "LASTWORD_REVISION": "a1"}
    for number in (1, 2):
        fleet.worker(f"worker-{number}")
    until(lambda: len(alive(fleet)) == 2)
    runs = [fleet.start("work", seconds=0.2) for _ in range(10)]
    fleet.supervisor.environment = {**fleet.supervisor.environment, "LASTWORD_REVISION": "b2"}
    [first, second] = sorted(alive(fleet), key=lambda row: str(row["started_at"]))
    done = operator(fleet, "restart", str(first["id"]))
    assert done.returncode == 0, done.stderr
    assert ", revision b2" in done.stdout
    # Half done, and seen to be.
    listed = operator(fleet, "list")
    assert "not all run the same revision: a1 (1), b2 (1)" in listed.stdout
    assert operator(fleet, "restart", str(second["id"])).returncode == 0
    assert "not all run" not in operator(fleet, "list").stdout
    for run_id in runs:
        row = fleet.scene.completed(run_id)
        assert (row["outcome"], row["attempt"], row["lost_deliveries"]) == ("succeeded", 1, 0)
    before = {row["id"] for row in alive(fleet)}
    done = operator(fleet, "restart", "--all", "--json")
    assert done.returncode == 0, done.stderr
    rows = [row for row in list_workers(fleet.scene.ledger) if row["id"] in before]
    others = [row for row in alive(fleet) if row["id"] not in before]
    assert (len(rows), len(others)) == (2, 2)
    # One after another: the second began to drain once the first had a successor.
    latest = max(str(row["drain_requested_at"]) for row in rows)
    assert min(str(row["started_at"]) for row in others) < latest


def test_a_restart_stops_at_the_first_worker_that_nobody_starts_again(fleet: Fleet) -> None:
    with unit(fleet, "first") as first, unit(fleet, "second") as second:
        done = operator(fleet, "restart", "--all", "--replaced-within", "1")
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert "nothing has started another worker for " in line
        assert line.endswith("; 1 workers were left alone")
        assert first.wait(30) == 0
        assert second.poll() is None
        assert [row["state"] for row in alive(fleet)] == ["active"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("drain",), "Name workers, or say --all."),
        (("restart", "x", "--all"), "Name workers, or say --all."),
        (("drain", ""), "Name workers, or say --all."),
        (("drain", "nobody"), "no live worker has an id that begins with 'nobody'"),
        (("drain", "--all", "--within", "0"), "0.0 is not in the range x>0."),
    ],
)
def test_a_worker_that_is_not_there_is_one_line(
    fleet: Fleet, arguments: tuple[str, ...], words: str
) -> None:
    done = operator(fleet, *arguments)
    assert (done.returncode in {1, 2}, done.stdout) == (True, "")
    [line] = done.stderr.splitlines()
    assert words in line
