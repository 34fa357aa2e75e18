"""What becomes of an attempt that is not its run's any more, lost its retry, or does not end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import dramatiq
import pytest
from dramatiq.broker import Broker, MessageProxy

from lastword.current import CurrentRun
from lastword.identity import WorkerId
from lastword.policy import INTERRUPT_GRACE_S
from lastword_middleware.ends import Ends
from lastword_middleware.errors import SendRefused
from lastword_middleware.interrupting import CancelRequested
from lastword_middleware.tracker import Tracker
from lastword_middleware.working import OpenAttempt
from tests.support import POLICIES, Scene
from tests.workers import StartWorker, tracker_of


@pytest.fixture
def tracker(broker: Broker) -> Iterator[Tracker]:
    """A worker that beats when it is told to."""
    tracker = tracker_of(broker)
    tracker.boot(threads=1, broker_id=None)
    assert tracker.writer is not None
    yield tracker
    tracker.writer.stop(within_s=5)


def opened(
    broker: Broker, scene: Scene, worker_id: WorkerId | None, *, number: int = 1, retries: int = 0
) -> OpenAttempt:
    """An attempt of a run whose first attempt this worker has claimed."""
    assert worker_id is not None

    if "build" not in broker.actors:

        @dramatiq.actor(operation="report.build", broker=broker)
        def build() -> None: ...

    run_id = scene.accept()
    scene.claim(run_id, worker_id)
    message = MessageProxy(broker.actors["build"].message().copy(message_id=run_id))
    run = CurrentRun(run_id, "report.build", number)
    attempt = OpenAttempt(run, worker_id, message, retries, 10.0, 1, began=time.monotonic())
    tracker_of(broker).work.open(attempt)
    return attempt


@pytest.mark.parametrize("number", [1, 2])
def test_an_attempt_of_another_number_than_its_run_has_is_fenced(
    broker: Broker, scene: Scene, tracker: Tracker, number: int
) -> None:
    attempt = opened(broker, scene, tracker.worker_id, number=number)
    assert list(tracker.heartbeat().fenced) == ([attempt] if number == 2 else [])


@pytest.mark.parametrize("retries", [0, POLICIES["report.build"].max_retries])
def test_a_retry_that_was_lost_is_made_up_for_while_there_are_tries_and_no_longer(
    broker: Broker, scene: Scene, tracker: Tracker, retries: int
) -> None:
    attempt = opened(broker, scene, tracker.worker_id, retries=retries)
    Ends(tracker).lost_retry(attempt, ValueError("as a job may"))
    tracker.require_written()
    row = scene.row(attempt.run.run_id)
    expected = ("completed", "retry_lost") if retries else ("queued", None)
    assert (row["status"], row["reason"]) == expected


def test_the_list_of_a_beat_is_as_old_as_the_beat_before(scene: Scene, tracker: Tracker) -> None:
    # What is claimed while a beat is under way is missing from its list, and is not abandoned.
    def told() -> tuple[int, int]:
        tracker.heartbeat()
        with scene.ledger.session():
            [row] = scene.ledger.execute("SELECT heartbeat_at, listed_at FROM lastword_worker")
        return row["heartbeat_at"], row["listed_at"]

    first_at, listed_at = told()
    assert listed_at == 0
    assert told()[1] == first_at


def test_nothing_is_sent_from_inside_a_transaction_on_the_ledgers_own_file(
    broker: Broker, scene: Scene
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    application = tracker_of(broker).application
    assert application is not None
    with application.transaction(), pytest.raises(SendRefused, match="inside a transaction"):
        build.send()
    with scene.ledger.session():
        assert scene.ledger.execute("SELECT id FROM lastword_run") == []
    build.send()


@pytest.fixture
def blocked() -> Iterator[int]:
    """A thread that hears of no exception until it is let go, as in C code; its id."""
    released = threading.Event()

    def wait() -> None:
        with suppress(CancelRequested):
            released.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    assert thread.ident is not None
    yield thread.ident
    released.set()
    thread.join()


def test_an_attempt_that_goes_on_past_its_limit_and_its_grace_ends_without_its_thread(
    broker: Broker, scene: Scene, start_worker: StartWorker, blocked: int
) -> None:
    start_worker()
    worker_id = tracker_of(broker).worker_id
    in_its_grace = opened(broker, scene, worker_id)
    too_late = opened(broker, scene, worker_id)
    for attempt, ago_s in ((in_its_grace, INTERRUPT_GRACE_S - 2), (too_late, 3600.0)):
        attempt.began, attempt.limit_s = time.monotonic() - 1.0 - ago_s, 1.0
        attempt.thread_id = blocked
    row = scene.completed(too_late.run.run_id)
    assert (row["outcome"], row["reason"]) == ("failed", "time_limit_exceeded")
    assert scene.row(in_its_grace.run.run_id)["status"] == "running"
