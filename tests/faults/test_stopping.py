"""How worker processes end, as operators and kernels end them, and what becomes of their runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from lastword.reading.workers import list_workers
from tests.fleets import Fleet
from tests.processes import LASTWORD, alive, ended_by
from tests.support import until


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    """One database is enough for how processes end; test_processes.py has both."""
    return new_postgres_url


@contextmanager
def worker(fleet: Fleet, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """One worker unit without anybody who starts it again."""
    log = fleet.folder / "unit.log"
    log.touch()
    booted = log.read_text().count("is booting up")
    with (
        log.open("a") as output,
        subprocess.Popen(
            [*LASTWORD, "worker", "tests.fleet", "--threads", "2", *arguments],
            env={**os.environ, **fleet.supervisor.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        ) as unit,
    ):
        try:
            until(lambda: log.read_text().count("is booting up") == booted + 1)
            yield unit
        finally:
            # Nothing of it may be there to take the messages of the next.
            with suppress(ProcessLookupError):
                os.killpg(unit.pid, signal.SIGKILL)


def endings_of(fleet: Fleet) -> dict[str, str | None]:
    return {item["id"]: item["ending"] for item in list_workers(fleet.scene.ledger)}


def test_when_one_process_of_a_unit_is_killed_no_run_of_its_siblings_is_lost(fleet: Fleet) -> None:
    # Dramatiq stops the siblings then; hence one process a unit is the default.
    fleet.supervisor.run("scheduler", "scheduler")
    go_on = fleet.folder / "go-on"
    with worker(fleet, "--processes", "2") as unit:
        runs = [fleet.start("work", until_file=str(go_on)) for _ in range(4)]
        until(lambda: len(fleet.journal("begin")) >= 2)
        victim = fleet.running(runs[0])["pid"]
        os.kill(victim, signal.SIGKILL)
        go_on.touch()
        unit.wait(30)
    with worker(fleet):
        for run_id in runs:
            assert fleet.scene.completed(run_id)["outcome"] == "succeeded"
            assert fleet.scene.kinds(run_id).count("completed") == 1
    begun_by_victim = {line[1] for line in fleet.journal("begin") if int(line[3]) == victim}
    for run_id in runs:
        row = fleet.scene.row(run_id)
        # Lost with its worker; or, if that was before its start was recorded, suspected of it.
        if run_id in begun_by_victim:
            assert (row["lost_deliveries"], row["probation"]) in {(1, 2), (0, 1)}
        else:
            assert row["lost_deliveries"] == 0


def test_a_stop_that_abandons_work_exits_0_and_the_run_says_so(fleet: Fleet) -> None:
    with worker(fleet, LASTWORD_WORKER_SHUTDOWN_TIMEOUT="1") as unit:
        run_id = fleet.start("once", until_file=str(fleet.folder / "never"))
        told = fleet.running(run_id)
        unit.terminate()
        # That is what whoever looks at the exit code alone is told.
        assert unit.wait(30) == 0
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["reason"]) == ("failed", "worker_lost")
    assert ended_by(json.loads(row["reconciliation"])["evidence"]["worker"], exit_code=0)
    [known] = list_workers(fleet.scene.ledger)
    assert (known["id"], known["ending"]) == (told["id"], "stopped")
    assert known["cause"] == {"seen": "it stopped with work in hand", "attempts": 1}


def test_a_process_told_twice_that_cannot_end_is_ended_and_its_run_recovered(fleet: Fleet) -> None:
    go_on = fleet.folder / "go-on"
    with worker(fleet, FLEET_ASYNC="yes") as unit:
        run_id = fleet.start("keep_loop", until_file=str(go_on))
        pid = fleet.running(run_id)["pid"]
        os.kill(pid, signal.SIGTERM)
        until(lambda: "Stopping worker process" in (fleet.folder / "unit.log").read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not alive(pid), what="the process to end")
        unit.wait(30)
    row = until(
        lambda: row if (row := fleet.scene.row(run_id))["status"] == "queued" else None,
        what="the run to be queued again",
    )
    assert row["lost_deliveries"] == 1
    go_on.touch()
    with worker(fleet):
        assert fleet.scene.completed(run_id)["attempt"] == 2


def test_a_second_sigterm_kills_at_once_and_the_run_is_recovered(fleet: Fleet) -> None:
    go_on = fleet.folder / "go-on"
    with worker(fleet) as unit:
        run_id = fleet.start("work", until_file=str(go_on))
        pid = fleet.running(run_id)["pid"]
        os.kill(pid, signal.SIGTERM)
        until(lambda: "Stopping worker process" in (fleet.folder / "unit.log").read_text())
        os.kill(pid, signal.SIGTERM)
        unit.wait(30)
    until(lambda: "redispatched" in fleet.scene.kinds(run_id))
    go_on.touch()
    with worker(fleet):
        assert fleet.scene.completed(run_id)["outcome"] == "succeeded"


def test_sighup_drains_and_starts_anew_and_the_waiting_runs_are_done(fleet: Fleet) -> None:
    go_on = fleet.folder / "go-on"
    with worker(fleet) as unit:
        runs = [fleet.start("work", until_file=str(go_on)) for _ in range(4)]
        first = fleet.running(runs[0])
        unit.send_signal(signal.SIGHUP)
        go_on.touch()
        for run_id in runs:
            row = fleet.scene.completed(run_id)
            assert (row["outcome"], row["attempt"]) == ("succeeded", 1)
        endings = until(
            lambda: found if len(found := endings_of(fleet)) == 2 else None,
            what="the worker that was started anew",
        )
        assert endings == {first["id"]: "stopped"} | dict.fromkeys(endings.keys() - {first["id"]})
        unit.terminate()
        unit.wait(30)
