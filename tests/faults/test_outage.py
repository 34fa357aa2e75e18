"""The ledger is away: nothing begins untracked, nothing that ended is lost, memory is bounded."""

from __future__ import annotations

import threading
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.middleware import ShutdownNotifications
from dramatiq.middleware.shutdown import Shutdown

from lastword.errors import LedgerUnavailable
from lastword.reading.workers import list_workers
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of


class Outage:
    """Lets every transaction of a worker's own ledger fail, from `begin` to `end`."""

    def __init__(self, broker: Broker) -> None:
        self.ledger: Any = tracker_of(broker).ledger
        self.refused = threading.Event()

    def begin(self) -> None:
        """The database is away from here on."""

        def away() -> Any:
            self.refused.set()
            raise LedgerUnavailable("the database is away", address="here")

        self.ledger.session = away
        self.ledger.transaction = away

    def end(self) -> None:
        """It answers again."""
        del self.ledger.session
        del self.ledger.transaction


@pytest.fixture
def outage(broker: Broker) -> Outage:
    return Outage(broker)


def in_broker(broker: Broker) -> int:
    return int(broker.client.hlen("dramatiq:default.msgs"))  # type: ignore[attr-defined]


def test_what_ended_in_an_outage_is_held_within_the_prefetch_and_then_written_once(
    broker: Broker, scene: Scene, start_worker: StartWorker, outage: Outage
) -> None:
    calls: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None:
        calls.append(number)
        begun.set()
        go_on.wait(10)

    sent = [build.send(number).message_id for number in range(30)]
    worker = start_worker()
    assert begun.wait(10)
    outage.begin()
    go_on.set()
    assert outage.refused.wait(10)
    until(lambda: tracker_of(broker).writer and not tracker_of(broker).writer.is_reaching)  # type: ignore[union-attr]
    # What ran is held, what was fetched waits, and nothing else is fetched: all of it is bounded
    # by the prefetch, and every message is still in the broker.
    assert len(calls) <= worker.queue_prefetch
    assert in_broker(broker) >= 30 - worker.queue_prefetch
    outage.end()
    for run_id in sent:
        row = scene.completed(run_id)
        assert (row["outcome"], row["attempt"]) == ("succeeded", 1)
        assert scene.kinds(run_id) == ["accepted", "claimed", "completed"]
    assert sorted(calls) == list(range(30))
    until(lambda: in_broker(broker) == 0)


def test_a_worker_that_stops_in_an_outage_with_ended_work_loses_nothing(
    broker: Broker, scene: Scene, start_worker: StartWorker, outage: Outage
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(10)

    run_id = build.send().message_id
    worker = start_worker()
    assert begun.wait(10)
    outage.begin()
    go_on.set()
    assert outage.refused.wait(10)
    stopping = threading.Thread(target=worker.stop, kwargs={"timeout": 5000})
    stopping.start()
    stopping.join(60)
    assert not stopping.is_alive()
    # Its end is not known to anybody: the broker has the message, and the ledger has the run.
    assert scene.row(run_id)["completed_at"] is None
    assert in_broker(broker) == 1
    outage.end()


def test_the_heartbeat_goes_on_through_an_outage_and_the_lease_lives_after_it(
    broker: Broker, scene: Scene, start_worker: StartWorker, outage: Outage
) -> None:
    start_worker()
    [before] = list_workers(scene.ledger)
    outage.begin()
    assert outage.refused.wait(10)
    outage.end()
    until(lambda: list_workers(scene.ledger)[0]["heartbeat_at"] > before["heartbeat_at"])
    [after] = [item for item in list_workers(scene.ledger) if item["ending"] is None]
    assert after["lease"] == "live"


def test_a_callback_is_sent_only_once_the_truth_it_follows_is_durable(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    seen: list[str] = []

    @dramatiq.actor(broker=broker)
    def told(message: dict[str, Any], result: Any) -> None:
        seen.append(scene.row(message["message_id"])["status"])
        scene.ledger.leave_thread()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    build.send_with_options(on_success=told)
    start_worker()
    until(lambda: seen)
    assert seen == ["completed"]


def test_an_attempt_that_is_told_of_the_shutdown_goes_back_to_the_queue(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    begun, told = threading.Event(), threading.Event()
    assert any(isinstance(item, ShutdownNotifications) for item in broker.middleware)

    @dramatiq.actor(operation="report.build", notify_shutdown=True, broker=broker)
    def build() -> None:
        begun.set()
        try:
            while not told.wait(0.01):
                pass
        except Shutdown:
            told.set()
            raise

    run_id = build.send().message_id
    worker = start_worker()
    assert begun.wait(10)
    worker.stop(timeout=10_000)
    assert told.is_set()
    row = scene.row(run_id)
    assert (row["status"], row["attempt"], row["retries"]) == ("queued", 1, 1)
    [known] = list_workers(scene.ledger)
    assert (known["ending"], known["cause"]) == ("stopped", None)
