"""Real worker and scheduler processes with real signals, on both databases."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import redis

from lastword.reading.workers import list_workers
from lastword.starting import start_in
from tests.fleets import Fleet
from tests.processes import LASTWORD, alive, ended_by
from tests.support import until


def test_a_run_whose_worker_is_killed_is_done_by_another(fleet: Fleet) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker("worker-1")
    fleet.worker("worker-2")
    go_on = fleet.folder / "go-on"
    run_id = fleet.start("work", until_file=str(go_on))
    os.kill(fleet.running(run_id)["pid"], signal.SIGKILL)
    fleet.running(run_id, attempt=2)
    go_on.touch()
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["attempt"], row["lost_deliveries"]) == ("succeeded", 2, 1)
    assert fleet.scene.kinds(run_id) == [
        "accepted",
        "claimed",
        "redispatched",
        "claimed",
        "completed",
    ]
    assert [line[0] for line in fleet.journal()] == ["begin", "begin", "end"]


def test_a_run_that_may_not_be_repeated_is_failed_when_its_worker_is_killed(fleet: Fleet) -> None:
    fleet.worker()
    run_id = fleet.start("once", until_file=str(fleet.folder / "never"))
    os.kill(fleet.running(run_id)["pid"], signal.SIGKILL)
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["reason"], row["closed_by"]) == (
        "failed",
        "worker_lost",
        "sentinel",
    )
    cause = json.loads(row["reconciliation"])["evidence"]["worker"]
    assert ended_by(cause, signal="SIGKILL")
    assert len(fleet.journal("begin")) == 1


def test_a_run_that_may_not_be_repeated_is_not_even_if_its_worker_dies_at_once(
    fleet: Fleet,
) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker()
    run_id = fleet.start("kill_worker_once")
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["reason"]) == ("failed", "worker_lost")
    assert len(fleet.journal("begin")) == 1


def test_a_job_that_kills_its_worker_is_delivered_three_times_and_no_more(fleet: Fleet) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker()
    run_id = fleet.start("kill_worker")
    row = until(
        lambda: row if (row := fleet.scene.row(run_id))["status"] == "completed" else None,
        within_s=45,
    )
    assert (row["outcome"], row["reason"]) == ("failed", "too_many_deliveries")
    assert row["lost_deliveries"] == 3
    # It may have died the first time before its start was recorded; that counts all the same.
    assert len(fleet.journal("begin")) == 3


def test_an_emptied_broker_loses_no_run_and_repeats_none(fleet: Fleet) -> None:
    runs = [fleet.start("work") for _ in range(100)]
    with redis.Redis.from_url(fleet.redis_url) as client:
        client.flushall()
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker()
    for run_id in runs:
        assert fleet.scene.completed(run_id)["outcome"] == "succeeded"
    begun = [line[1] for line in fleet.journal("begin")]
    assert sorted(begun) == sorted(runs)


def test_a_paused_worker_that_comes_back_overwrites_nothing(fleet: Fleet) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker("worker-1")
    go_on = fleet.folder / "go-on"
    run_id = fleet.start("work", until_file=str(go_on))
    paused = fleet.running(run_id)["pid"]
    os.kill(paused, signal.SIGSTOP)
    try:
        fleet.worker("worker-2")
        fleet.running(run_id, attempt=2)
        go_on.touch()
        row = fleet.scene.completed(run_id)
    finally:
        os.kill(paused, signal.SIGCONT)
    until(lambda: "late_result" in fleet.scene.kinds(run_id))
    assert fleet.scene.row(run_id) == row
    assert fleet.scene.kinds(run_id).count("completed") == 1


def test_a_worker_that_is_told_to_stop_finishes_its_run_first(fleet: Fleet) -> None:
    environment = {**os.environ, **fleet.supervisor.environment}
    go_on = fleet.folder / "go-on"
    with subprocess.Popen(
        [*LASTWORD, "worker", "tests.fleet", "--threads", "2"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as worker:
        try:
            run_id = fleet.start("work", until_file=str(go_on))
            pid = fleet.running(run_id)["pid"]
            worker.send_signal(signal.SIGTERM)
            go_on.touch()
            assert worker.wait(20) == 0
        finally:
            if worker.poll() is None:
                worker.kill()
    assert not alive(pid)
    row = fleet.scene.row(run_id)
    assert (row["outcome"], row["attempt"]) == ("succeeded", 1)
    [stopped] = list_workers(fleet.scene.ledger)
    assert stopped["ending"] == "stopped"


def test_a_scheduler_that_is_killed_is_replaced_and_heals_what_it_missed(fleet: Fleet) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    os.kill(fleet.supervisor.pids()["scheduler"], signal.SIGKILL)
    run_id = fleet.start("work")
    with redis.Redis.from_url(fleet.redis_url) as client:
        client.flushall()
    fleet.worker()
    assert fleet.scene.completed(run_id)["outcome"] == "succeeded"


def noticed(log: str) -> bool:
    """Whether the consumer of delayed messages has met an error."""
    return any("default.DQ" in line and "encountered" in line for line in log.splitlines())


def test_a_worker_survives_a_failover_and_loses_no_delayed_message(fleet: Fleet) -> None:
    fleet.worker()
    [first] = until(lambda: list_workers(fleet.scene.ledger))
    run_id = fleet.start("work", delay_ms=6000)
    with redis.Redis.from_url(fleet.redis_url) as client:
        hold = f"dramatiq:__acks__.{first['broker_id']}.default.DQ"
        until(lambda: client.scard(hold))
        log = fleet.folder / "logs" / "worker-1.log"
        # As for the seconds of a failover: Redis is there, and read-only.
        client.replicaof("127.0.0.1", "1")
        try:
            until(
                lambda: noticed(log.read_text()), what="the consumer of delayed messages to notice"
            )
        finally:
            client.replicaof("NO", "ONE")
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["attempt"], row["dispatch"]) == ("succeeded", 1, 1)
    assert alive(first["pid"])
    assert "message_reclaimed" in log.read_text()


@pytest.mark.parametrize("hangs", ["", "yes"], ids=["stops", "hangs"])
def test_a_worker_whose_master_was_killed_does_not_live_on_alone(fleet: Fleet, hangs: str) -> None:
    quick = {"LASTWORD_WORKER_SHUTDOWN_TIMEOUT": "1", "LASTWORD_STOP_WAIT": "3"}
    quick["FLEET_HANGS"] = hangs
    environment = {**os.environ, **fleet.supervisor.environment, **quick}
    output = fleet.folder / "worker.log"
    with output.open("w") as log:
        master = subprocess.Popen(
            [*LASTWORD, "worker", "tests.fleet"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    # Up to then the two wait for each other, and neither outlives the other's death in peace.
    until(lambda: "is booting up" in output.read_text(), what="the master to be done booting")
    [worker] = until(lambda: list_workers(fleet.scene.ledger))
    master.kill()
    master.wait()
    until(lambda: not alive(worker["pid"]), what="the orphan to end")
    assert [row["ending"] for row in list_workers(fleet.scene.ledger)] == ["stopped"]


def test_a_start_is_accepted_once_and_done(fleet: Fleet) -> None:
    go_on = str(fleet.folder / "go-on")

    def start() -> tuple[str, str]:
        started = start_in(
            fleet.application,
            "fleet.once",
            inputs={"until_file": go_on},
            tenant=None,
            initiator="Ada",
        )
        return started.result, started.run_id

    first, second = start(), start()
    assert [first[0], second[0]] == ["accepted", "deduped"]
    assert first[1] == second[1]
    Path(go_on).touch()
    fleet.worker()
    row = fleet.scene.completed(first[1])
    assert (row["outcome"], row["initiator_name"]) == ("succeeded", "Ada")
