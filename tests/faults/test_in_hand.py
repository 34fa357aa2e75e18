"""What a worker has fetched and not begun: never dropped, never kept from others for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware, MiddlewareError

from lastword.config import Config
from lastword.errors import LedgerUnavailable, SchemaError
from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.values import Claim, Delivery, Reservation, Verdict
from lastword.states import Source, Status
from lastword.storage.ledger import Row
from lastword_middleware import reclaiming
from lastword_middleware.writing import Writer
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaiming, "RECLAIM_EVERY_S", 0.1)
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.1)


def test_a_fetch_that_breaks_in_the_middle_keeps_no_room_and_no_message(
    broker: Broker, scene: Scene, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    tracker = tracker_of(broker)
    reserve, broken = tracker.runs.reserve, threading.Semaphore(3)

    def failing(deliveries: Sequence[Delivery], *, worker_id: WorkerId) -> list[Reservation]:
        if broken.acquire(blocking=False):
            raise SchemaError("a table is missing, for a moment")
        return reserve(deliveries, worker_id=worker_id)

    monkeypatch.setattr(tracker.runs, "reserve", failing)
    # More than are fetched at once: were the broken fetches still in hand, there would be no room.
    sent = [build.send() for _ in range(12)]
    start_worker()
    for message in sent:
        row = scene.completed(message.message_id)
        assert (row["outcome"], row["attempt"]) == ("succeeded", 1)
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]


def test_what_could_not_be_released_in_an_outage_is_begun_by_somebody_all_the_same(
    broker: Broker, scene: Scene, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    tracker = tracker_of(broker)
    release, away = tracker.runs.release, threading.Event()

    def failing(deliveries: Sequence[Delivery], *, worker_id: WorkerId) -> list[RunId]:
        if not away.is_set():
            away.set()
            raise LedgerUnavailable("the ledger is away", address="nowhere")
        return release(deliveries, worker_id=worker_id)

    monkeypatch.setattr(tracker.runs, "release", failing)
    message = build.send()
    tracker.boot(threads=1, broker_id=broker.broker_id)  # type: ignore[attr-defined]
    consumer = broker.consume("default", prefetch=4, timeout=10)
    fetched = until(lambda: next(consumer))
    # The connection broke, so Dramatiq hands back what it was given, and the ledger is away too.
    consumer.requeue([fetched])
    assert away.is_set()
    assert scene.row(message.message_id)["holder"] == tracker.worker_id
    # Redis still has the run's only message: it is not given to others who would refuse it.
    assert broker.client.hlen("dramatiq:default.msgs") == 1  # type: ignore[attr-defined]
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"]) == ("succeeded", 1)


def test_a_refused_message_is_kept_if_it_is_all_that_the_broker_has_of_its_run(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    other = scene.worker()
    scene.runs.reserve([Delivery(RunId(message.message_id), 1)], worker_id=other)
    start_worker()
    # Another, live worker holds the run. That it has the message is more than anybody knows.
    until(lambda: broker.client.llen("dramatiq:default") == 0)  # type: ignore[attr-defined]
    until(lambda: broker.client.llen("dramatiq:default") == 1)  # type: ignore[attr-defined]
    assert scene.row(message.message_id)["attempt"] == 0
    scene.runs.release([Delivery(RunId(message.message_id), 1)], worker_id=other)
    assert scene.completed(message.message_id)["outcome"] == "succeeded"
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]


def test_a_retry_by_a_middleware_that_broke_before_the_attempt_is_executed(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    class Flaky(Middleware):
        failures = threading.Semaphore(1)

        def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
            if self.failures.acquire(blocking=False):
                raise MiddlewareError("not yet")

    names = [type(item).__name__ for item in broker.middleware]
    broker.middleware.insert(names.index("TrackMessages") + 1, Flaky())

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    # The delivery that broke never became an attempt, and left nothing reserved.
    assert (row["outcome"], row["attempt"]) == ("succeeded", 1)


def test_an_attempt_whose_run_was_closed_is_interrupted(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    stopped = threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        try:
            while True:
                time.sleep(0.01)
        finally:
            stopped.set()

    message = build.send()
    start_worker()
    row = until(
        lambda: seen if (seen := scene.row(message.message_id))["status"] == "running" else None
    )
    scene.backdate(message.message_id, "stale_at", 100)
    verdict = Verdict(
        run_id=RunId(message.message_id),
        status=Status.RUNNING,
        attempt=row["attempt"],
        dispatch=row["dispatch"],
        message_ref=row["message_ref"],
        reason=Reason.STALE_RUNNING,
        source=Source.GENERIC,
        evidence={},
    )
    assert scene.runs.close([verdict])
    assert stopped.wait(5)
    kinds = until(lambda: seen if "late_result" in (seen := scene.kinds(row["id"])) else None)
    assert kinds == ["accepted", "claimed", "completed", "late_result"]
    assert scene.row(row["id"])["reason"] == "stale_running"
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]


def test_a_run_whose_claim_is_not_answered_yet_is_told_of_with_every_beat(
    broker: Broker, scene: Scene, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def once() -> None: ...

    claim, answered = Writer.claim, threading.Event()

    def slow(self: Writer, delivery: Delivery, worker_id: WorkerId) -> Claim:
        answer = claim(self, delivery, worker_id)
        assert answered.wait(20)
        return answer

    monkeypatch.setattr(Writer, "claim", slow)
    run_id = once.send().message_id
    start_worker()

    def told() -> Row | None:
        row = scene.row(run_id)
        with scene.ledger.session():
            [worker] = scene.ledger.execute("SELECT * FROM lastword_worker")
        # The beats after which a reconciler takes a run that is not listed for abandoned.
        late = row["claimed_at"] is not None and worker["listed_at"] > row["claimed_at"] + 500
        return worker if late else None

    assert run_id in until(told)["working"]
    answered.set()
    assert scene.completed(run_id)["outcome"] == "succeeded"


def test_a_worker_that_has_stopped_is_not_reborn_by_a_beat_that_was_under_way(
    broker: Broker, scene: Scene, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = tracker_of(broker)
    tracker.boot(threads=1, broker_id=None)
    heartbeat: Any = tracker.workers.heartbeat

    def slow(worker_id: WorkerId, **told: Any) -> Any:
        tracker.end()
        return heartbeat(worker_id, **told)

    monkeypatch.setattr(tracker.workers, "heartbeat", slow)
    tracker.heartbeat()
    assert tracker.worker_id is None
    with scene.ledger.session():
        rows = scene.ledger.execute("SELECT ending FROM lastword_worker")
    assert [row["ending"] for row in rows] == ["stopped"]
    assert tracker.writer is not None
    tracker.writer.stop(within_s=5)
