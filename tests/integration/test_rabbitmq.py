"""RabbitMQ as the broker: the same truths; where its evidence is unknown, the thresholds rule."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.errors import ConnectionClosed
from dramatiq.worker import Worker

from lastword.config import Config
from lastword.starting import start_many
from lastword.storage.ledger import Ledger
from lastword_middleware.broker import worker_broker
from lastword_middleware.installing import install
from lastword_scheduler.timetable import generic_reconciler
from tests.rabbitmq import RabbitServer, rabbit, rabbit_server
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of

__all__ = ["rabbit", "rabbit_server"]


@pytest.fixture
def config(config: Config, rabbit: RabbitServer) -> Config:
    return replace(config, broker_url=rabbit.url)


@pytest.fixture
def broker(config: Config) -> Iterator[Broker]:
    broker = worker_broker(config)
    application = install(broker, config=config)
    yield broker
    application.ledger.close()
    tracker_of(broker).ledger.close()
    broker.close()


@pytest.fixture
def start_worker(broker: Broker) -> Iterator[StartWorker]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(broker, worker_timeout=50, worker_threads=2))
        broker.emit_after("process_boot")
        workers[-1].start()
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop(timeout=5000)


def waiting(broker: Broker, queue: str = "default") -> int:
    ready, delayed, _ = broker.get_queue_message_counts(queue)  # type: ignore[attr-defined]
    return int(ready + delayed)


def test_a_message_is_sent_with_confirms_done_and_acknowledged(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    assert broker.confirm_delivery  # type: ignore[attr-defined]
    message = build.send()
    assert scene.row(message.message_id)["status"] == "queued"
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"]) == ("succeeded", 1)
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]
    until(lambda: waiting(broker) == 0, what="the message to be acknowledged")


def test_runs_that_are_started_together_are_each_sent_recorded_and_done(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None: ...

    started = start_many("report.build", [{"number": number} for number in range(20)])
    assert [answer.result for answer in started] == ["accepted"] * 20
    assert {scene.row(answer.run_id)["message_queue"] for answer in started} == {"default"}
    start_worker()
    for answer in started:
        assert scene.completed(answer.run_id)["attempt"] == 1


def test_a_retry_goes_through_the_delay_queue_and_succeeds(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    attempts: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("at first")

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"], row["retries"]) == ("succeeded", 2, 1)


def test_retries_that_are_exhausted_and_a_time_limit_end_their_runs(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def once() -> None:
        raise ValueError("always")

    @dramatiq.actor(operation="report.short", broker=broker, time_limit=300)
    def endless() -> None:
        while True:
            time.sleep(0.01)

    failing, slow = once.send(), endless.send()
    start_worker()
    assert scene.completed(failing.message_id)["reason"] == "retries_exhausted"
    assert scene.completed(slow.message_id)["reason"] == "time_limit_exceeded"


def test_a_delayed_message_is_done_when_its_time_has_come(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send_with_options(delay=500)
    assert message.options["eta"] >= message.message_timestamp + 500
    start_worker()
    row = scene.completed(message.message_id)
    assert row["started_at"] >= message.options["eta"]
    assert row["attempt"] == 1


def test_a_duplicate_of_a_completed_run_is_acknowledged_and_does_nothing(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    message = build.send()
    start_worker()
    scene.completed(message.message_id)
    broker.enqueue(message.copy(options={"lastword_dispatch": 1}))
    until(lambda: waiting(broker) == 0)
    assert calls == [1]
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]


def test_what_cannot_be_looked_for_is_failed_once_its_threshold_has_passed_and_not_before(
    broker: Broker, scene: Scene, config: Config, sqlite_ledger: Ledger
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    lost, in_backlog = build.send().message_id, build.send().message_id
    broker.flush("default")
    reconciler = generic_reconciler(config, sqlite_ledger)
    for run_id in (lost, in_backlog):
        scene.backdate(run_id, "sent_at", 10)
    assert not reconciler.sweep().acted
    [page] = reconciler.decisions()
    assert {decision.evidence["message"]["state"] for decision in page} == {"unknown"}
    scene.backdate(lost, "stale_at", 21)
    assert reconciler.sweep().acted == {"close": 1}
    assert scene.row(lost)["reason"] == "stale_queued"
    assert scene.row(in_backlog)["status"] == "queued"


def test_a_send_that_gets_no_answer_leaves_an_honest_run(
    broker: Broker, scene: Scene, rabbit: RabbitServer, config: Config, sqlite_ledger: Ledger
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    build.send()
    rabbit.stop()
    with pytest.raises(ConnectionClosed):
        build.send()
    rabbit.start()
    with scene.ledger.session():
        rows = scene.ledger.execute("SELECT status FROM lastword_run")
    # The second may have arrived, for all that is known; its threshold decides.
    assert [row["status"] for row in rows] == ["queued", "queued"]
    assert not generic_reconciler(config, sqlite_ledger).sweep().acted
