"""Workers under a real supervisord: stopped in time, too late, or killed in the middle of a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lastword.reading.workers import list_workers
from tests.fleets import Fleet
from tests.processes import LASTWORD, alive, ended_by
from tests.support import until

#: As deploy/supervisor has it, but for the numbers.
PROGRAM = """
[unix_http_server]
file = {folder}/supervisor.sock

[supervisord]
nodaemon = true
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
childlogdir = {folder}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{folder}/supervisor.sock

[program:worker]
command = {command} worker tests.fleet --threads 2
autorestart = true
startsecs = 0
stopsignal = TERM
stopwaitsecs = {stop_wait}
stopasgroup = false
killasgroup = true
redirect_stderr = true
"""


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    """One database is enough for how processes end; test_processes.py has both."""
    return new_postgres_url


@dataclass(frozen=True)
class Kept:
    """A fleet whose worker supervisord keeps."""

    fleet: Fleet

    def control(self, *words: str) -> str:
        command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(self.settings)]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=90)
        return done.stdout

    @property
    def settings(self) -> Path:
        return self.fleet.folder / "supervisord.conf"

    def pid(self) -> int:
        return int(self.control("pid", "worker"))

    def alive(self) -> list[dict[str, object]]:
        return [row for row in list_workers(self.fleet.scene.ledger) if row["ending"] is None]

    def restarted(self) -> None:
        """Wait for the worker that supervisord starts in the place of one that ended."""
        until(lambda: len(self.alive()) == 1, within_s=30, what="another worker")


def kept(fleet: Fleet, *, stop_wait: int, shutdown_timeout: int) -> Iterator[Kept]:
    command = " ".join(LASTWORD)
    (fleet.folder / "supervisord.conf").write_text(
        PROGRAM.format(folder=fleet.folder, command=command, stop_wait=stop_wait)
    )
    env = {
        **os.environ,
        **fleet.environment,
        "LASTWORD_WORKER_SHUTDOWN_TIMEOUT": str(shutdown_timeout),
        "PYTHONPATH": str(Path.cwd()),
    }
    fleet.supervisor.run("scheduler", "scheduler")
    keeper = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "supervisor.supervisord",
            "-c",
            str(fleet.folder / "supervisord.conf"),
        ],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    here = Kept(fleet)
    try:
        here.restarted()
        yield here
    finally:
        (fleet.folder / "go-on").touch()
        keeper.terminate()
        keeper.wait(60)


@pytest.fixture
def patient(fleet: Fleet) -> Iterator[Kept]:
    """The chain holds: the worker has ended its work before anybody loses patience."""
    yield from kept(fleet, stop_wait=40, shutdown_timeout=20)


@pytest.fixture
def impatient(fleet: Fleet) -> Iterator[Kept]:
    """The worker waits for longer than supervisord does."""
    yield from kept(fleet, stop_wait=2, shutdown_timeout=20)


@pytest.fixture
def abandoning(fleet: Fleet) -> Iterator[Kept]:
    """The worker gives its work up before its limit, and ends in good order."""
    yield from kept(fleet, stop_wait=40, shutdown_timeout=1)


def test_stopped_within_stop_wait_nothing_is_lost(patient: Kept) -> None:
    fleet = patient.fleet
    run_id = fleet.start("once", until_file=str(fleet.folder / "go-on"))
    first = fleet.running(run_id)
    waiting = fleet.start("work")
    assert patient.control("signal", "TERM", "worker") != ""
    until(lambda: patient.alive()[0]["state"] == "draining")
    (fleet.folder / "go-on").touch()
    assert fleet.scene.completed(run_id)["outcome"] == "succeeded"
    # It has ended with 0, and is started again for what waits.
    row = fleet.scene.completed(waiting)
    assert (row["outcome"], row["lost_deliveries"]) == ("succeeded", 0)
    until(lambda: [item["ending"] for item in _known(patient, first["id"])] == ["stopped"])
    patient.restarted()
    assert "stopped" in patient.control("stop", "worker")
    until(lambda: not patient.alive())
    assert [item["cause"] for item in list_workers(fleet.scene.ledger)] == [None, None]


def test_past_stop_wait_it_is_killed_and_the_run_says_by_what(impatient: Kept) -> None:
    fleet = impatient.fleet
    lost = fleet.start("once", until_file=str(fleet.folder / "never"))
    told = fleet.running(lost)
    # Says that it has stopped it; not that it had to kill it for that.
    assert "stopped" in impatient.control("stop", "worker")
    assert not alive(int(str(told["pid"])))
    row = fleet.scene.completed(lost)
    assert (row["outcome"], row["reason"], row["attempt"]) == ("failed", "worker_lost", 1)
    cause = json.loads(row["reconciliation"])["evidence"]["worker"]
    assert ended_by(cause, signal="SIGKILL")
    [known] = _known(impatient, told["id"])
    assert (known["ending"], known["state"]) == ("lost", "lost")
    assert known["draining_at"] is not None


def test_past_the_shutdown_timeout_it_stops_with_0_and_the_run_says_so(abandoning: Kept) -> None:
    fleet = abandoning.fleet
    lost = fleet.start("once", until_file=str(fleet.folder / "never"))
    told = fleet.running(lost)
    assert "stopped" in abandoning.control("stop", "worker")
    row = fleet.scene.completed(lost)
    assert (row["outcome"], row["reason"]) == ("failed", "worker_lost")
    [known] = _known(abandoning, told["id"])
    assert known["ending"] == "stopped"
    assert known["cause"] == {"seen": "it stopped with work in hand", "attempts": 1}


def test_killed_outright_it_is_started_again_and_the_run_is_done_by_another(patient: Kept) -> None:
    fleet = patient.fleet
    again = fleet.start("work", until_file=str(fleet.folder / "go-on"))
    never = fleet.start("once", until_file=str(fleet.folder / "go-on"))
    told = fleet.running(again)
    fleet.running(never)
    os.killpg(os.getpgid(patient.pid()), signal.SIGKILL)
    patient.restarted()
    (fleet.folder / "go-on").touch()
    done = fleet.scene.completed(again)
    assert (done["outcome"], done["attempt"], done["lost_deliveries"]) == ("succeeded", 2, 1)
    assert fleet.scene.completed(never)["reason"] == "worker_lost"
    [known] = _known(patient, told["id"])
    assert (known["ending"], known["draining_at"]) == ("lost", None)


def _known(here: Kept, worker_id: object) -> list[dict[str, object]]:
    return [row for row in list_workers(here.fleet.scene.ledger) if row["id"] == worker_id]
