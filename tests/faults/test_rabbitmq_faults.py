"""Harm to workers and to RabbitMQ itself: at least once is its word, one last word is ours."""

from __future__ import annotations

import os
import signal
from collections import Counter
from contextlib import suppress

import pika
import pytest
from dramatiq.errors import BrokerConnectionError

from tests.faults.test_redispatch import counted, executions
from tests.fleets import Fleet
from tests.rabbitmq import RabbitServer, rabbit, rabbit_server
from tests.support import until

__all__ = ["rabbit", "rabbit_server"]

RUNS = 150


@pytest.fixture
def redis_url(rabbit: RabbitServer) -> str:
    """The broker of the fleet."""
    return rabbit.url


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def messages_at(rabbit: RabbitServer) -> int:
    """Messages that wait for a worker, now or later."""
    try:
        with pika.BlockingConnection(pika.URLParameters(rabbit.url)) as connection:
            channel = connection.channel()
            counts = [
                channel.queue_declare(queue, passive=True).method.message_count
                for queue in ("default", "default.DQ")
            ]
    except (pika.exceptions.AMQPError, OSError):
        return -1
    return sum(counts)


def test_a_run_whose_worker_is_killed_is_done_by_another_and_has_one_last_word(
    fleet: Fleet,
) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker()
    file = fleet.folder / "go-on"
    run_id = fleet.start("work", until_file=str(file))
    worker = fleet.running(run_id)
    os.kill(worker["pid"], signal.SIGKILL)
    fleet.running(run_id, attempt=2)
    file.touch()
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["attempt"], row["lost_deliveries"]) == ("succeeded", 2, 1)
    assert sum(bool(event["terminal"]) for event in fleet.scene.events(run_id)) == 1


def test_a_job_that_kills_its_worker_is_delivered_so_often_and_no_more(fleet: Fleet) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker()
    run_id = fleet.start("kill_worker")
    until(lambda: fleet.scene.row(run_id)["status"] == "completed", within_s=60)
    row = fleet.scene.row(run_id)
    policy = fleet.application.config.policy("fleet.work")
    assert (row["outcome"], row["reason"]) == ("failed", "too_many_deliveries")
    assert executions(fleet) == {run_id: policy.max_deliveries}


def test_rabbitmq_goes_down_at_once_and_comes_back_under_load(
    fleet: Fleet, rabbit: RabbitServer
) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    for number in (1, 2):
        fleet.worker(f"worker-{number}")
    for number in range(RUNS):
        if number == RUNS // 2:
            until(lambda: counted(fleet.scene.ledger, "status").get("completed", 0) > 20)
            rabbit.stop()
        if number == RUNS // 2 + 5:
            rabbit.start()
        # What is sent into nothing may have arrived, or not: its run says that it waits.
        with suppress(BrokerConnectionError, pika.exceptions.AMQPError, OSError):
            fleet.start("work", seconds=0.01)
    ledger = fleet.scene.ledger
    until(lambda: messages_at(rabbit) == 0, within_s=30, what="the queues to be empty")
    with ledger.transaction():
        # What is queued now has no message. Nobody can know that but by its threshold.
        ledger.execute("UPDATE lastword_run SET stale_at = 1 WHERE status = 'queued'")
    until(lambda: set(counted(ledger, "status")) == {"completed"}, within_s=30)
    with ledger.session():
        events = ledger.execute(
            "SELECT run_id, COUNT(*) AS n FROM lastword_event WHERE terminal GROUP BY run_id"
        )
    assert {row["n"] for row in events} == {1}
    outcomes = Counter(counted(ledger, "outcome"))
    assert outcomes.total() == RUNS
    # A message that never arrived can only be told by its threshold.
    assert set(counted(ledger, "reason", "outcome = 'failed'")) <= {"stale_queued"}
    assert outcomes["succeeded"] >= RUNS - outcomes["failed"]
    assert max(executions(fleet).values()) == 1
