"""A broker without a consumer of ours takes the same verbs, with batches of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import default_middleware
from dramatiq.worker import Worker

from lastword import current_run
from lastword.config import Config
from lastword_middleware.installing import install
from tests.support import Scene
from tests.workers import tracker_of


@pytest.fixture
def stub(config: Config) -> Iterator[StubBroker]:
    broker = StubBroker(middleware=[item() for item in default_middleware])
    # Between two beats a worker's lease must not be what a test is about.
    application = install(broker, config=replace(config, lease_ttl=30.0))
    broker.emit_after("process_boot")
    worker = Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    yield broker
    worker.stop(timeout=5000)
    application.ledger.close()
    tracker_of(broker).ledger.close()


def test_a_run_is_reserved_begun_ended_and_only_then_acknowledged(
    stub: StubBroker, scene: Scene
) -> None:
    @dramatiq.actor(operation="report.build", broker=stub)
    def build(number: int) -> None:
        current_run().progress(processed=number)
        if number == 3 and current_run().attempt == 1:
            raise ValueError

    sent = [build.send(number).message_id for number in range(5)]
    stub.join("default", timeout=20_000, fail_fast=False)
    for number, run_id in enumerate(sent):
        # Acknowledged means durable: nobody has to wait for a row after the queue is empty.
        row = scene.row(run_id)
        assert (row["status"], row["outcome"]) == ("completed", "succeeded")
        assert row["attempt"] == (2 if number == 3 else 1)
    assert scene.kinds(sent[0]) == ["accepted", "claimed", "completed"]


def test_a_duplicate_is_skipped_and_does_nothing(stub: StubBroker, scene: Scene) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=stub)
    def build() -> None:
        calls.append(1)

    message = build.send()
    stub.enqueue(message)
    stub.join("default", timeout=20_000, fail_fast=False)
    assert scene.row(message.message_id)["outcome"] == "succeeded"
    assert calls == [1]
