"""What keeps a message unacknowledged: an attempt without its end, or what is held back."""

from __future__ import annotations

from typing import NoReturn

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker, MessageProxy

from lastword.current import CurrentRun
from lastword.identity import RunId, new_run_id
from lastword.reading.runs import run_status
from lastword.service.requests import NewRun
from lastword.service.values import AttemptEnd
from lastword.states import Outcome
from lastword_middleware.errors import HoldMessage
from lastword_middleware.truths import Ended
from lastword_middleware.working import OpenAttempt
from lastword_middleware.writing import Writer
from tests.support import Scene, policy, until
from tests.workers import StartWorker, tracker_of


@pytest.fixture
def message(broker: Broker) -> MessageProxy:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    return MessageProxy(build.message())


def opened(message: MessageProxy, scene: Scene) -> OpenAttempt:
    run = CurrentRun(RunId(message.message_id), "report.build", 1)
    return OpenAttempt(
        run=run, worker_id=scene.worker(), message=message, retries=0, limit_s=1.0, dispatch=1
    )


@pytest.mark.parametrize("signal", ["ack", "nack"])
def test_a_message_is_kept_while_its_attempt_is_open(
    broker: Broker, scene: Scene, message: MessageProxy, signal: str
) -> None:
    work, attempt = tracker_of(broker).work, opened(message, scene)
    work.open(attempt)
    with pytest.raises(HoldMessage, match="unacknowledged"):
        broker.emit_before(signal, message)
    work.settle(attempt)
    broker.emit_before(signal, message)


@pytest.mark.parametrize("signal", ["ack", "nack"])
def test_a_message_that_is_held_back_is_kept_once(
    broker: Broker, message: MessageProxy, signal: str
) -> None:
    tracker_of(broker).work.here.held = message
    with pytest.raises(HoldMessage, match="unacknowledged"):
        broker.emit_before(signal, message)
    # The next time it is another delivery.
    broker.emit_before(signal, message)


def test_a_message_whose_end_cannot_be_written_at_all_stays_with_the_broker(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def build() -> None: ...

    tracker = tracker_of(broker)

    def broken(*_: object) -> NoReturn:
        raise RuntimeError("a fault of the database that is none of its connections")

    monkeypatch.setattr(tracker.runs, "begin_and_finish", broken)
    monkeypatch.setattr(tracker.runs, "finish", broken)
    message = build.send()
    worker = start_worker()
    until(lambda: scene.row(message.message_id)["status"] == "running")
    until(lambda: not tracker.work.open_attempts())
    worker.stop(timeout=5000)
    with redis.Redis.from_url(redis_url) as client:
        assert client.hexists("dramatiq:default.msgs", message.options["redis_message_id"])
    assert scene.row(message.message_id)["completed_at"] is None


@pytest.mark.parametrize("is_late", [False, True])
def test_the_next_stage_of_a_pipeline_is_accepted_with_an_end_that_counts_and_with_no_other(
    scene: Scene, is_late: bool
) -> None:
    run_id, worker_id = scene.accept(), scene.worker()
    scene.claim(run_id, worker_id)
    end = AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED, None)
    if is_late:
        scene.runs.finish([end])
    stage = NewRun(new_run_id(), policy(), "build", "{}")
    writer = Writer(scene.ledger, scene.runs)
    writer.start()
    writer.put(Ended("finish", end, stage, lambda written: None))
    assert writer.drain()
    writer.stop(within_s=5)
    assert (stage.run_id in run_status(scene.ledger, [stage.run_id])) is not is_late
