"""Every way a run fails in a worker on a real Redis, and the reason that the ledger then gives."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware, Retries, SkipMessage

from lastword import PermanentFailure, Reason, TransientFailure, current_run
from lastword.errors import LedgerUnavailable
from tests.support import Scene, until
from tests.workers import StartWorker, give_worker_up, tracker_of


def test_a_failed_attempt_is_retried_and_may_still_succeed(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(current_run().attempt)
        if len(calls) < 3:
            raise TransientFailure(Reason.THROTTLED)

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"], row["retries"]) == ("succeeded", 3, 2)
    assert calls == [1, 2, 3]
    assert scene.kinds(message.message_id) == [
        "accepted",
        *["claimed", "retry_scheduled"] * 2,
        *["claimed", "completed"],
    ]
    assert scene.events(message.message_id)[2]["reason"] == "throttled"


def test_a_run_that_fails_every_time_has_its_retries_exhausted(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        raise ValueError("password=hunter2")

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"], row["attempt"]) == ("failed", "retries_exhausted", 3)
    assert json.loads(row["failures"])[0]["code"] == "unknown_error"
    assert "hunter2" not in json.dumps(row)


def test_a_permanent_failure_is_not_tried_again(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        raise PermanentFailure(Reason.PERMISSION_DENIED)

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["reason"], row["attempt"]) == ("permission_denied", 1)


def test_an_exception_named_in_throws_is_not_tried_again(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", throws=KeyError, broker=broker)
    def build() -> None:
        raise KeyError("k")

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["reason"], row["attempt"]) == ("not_retryable", 1)


def test_a_run_past_its_time_limit_says_so(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.short", broker=broker)
    def build() -> None:
        while True:
            time.sleep(0.01)

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "time_limit_exceeded")


def test_an_async_run_past_its_time_limit_says_so(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    start_worker()

    @dramatiq.actor(operation="report.short", broker=broker)
    async def build() -> None:
        await asyncio.sleep(30)

    message = build.send()
    assert scene.completed(message.message_id)["reason"] == "time_limit_exceeded"


def test_a_message_past_its_age_limit_fails_before_it_starts(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", max_age=1, broker=broker)
    def build() -> None: ...

    message = build.send()
    created = message.message_timestamp
    until(lambda: time.time() * 1000 > created + 20)
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["reason"], row["attempt"]) == ("age_limit_exceeded", 0)


class Refuse(Middleware):
    """Another middleware that skips every message."""

    def __init__(self, *, fail: bool) -> None:
        self.fail = fail

    def before_process_message(self, broker: Broker, message: Any) -> None:
        """Skip it."""
        if self.fail:
            message.fail()
        raise SkipMessage


@pytest.mark.parametrize("fail", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_a_message_that_another_middleware_skips_is_rejected(
    broker: Broker, scene: Scene, start_worker: StartWorker, fail: bool, late: bool
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    behind_retries = next(
        place for place, item in enumerate(broker.middleware) if isinstance(item, Retries)
    )
    broker.middleware.insert(behind_retries + 1 if late else 1, Refuse(fail=fail))
    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "rejected")


def test_a_message_whose_actor_is_not_known_here_fails_its_run(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    del broker.actors["build"]
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "unknown_actor")


class BreakRetries(Middleware):
    """Lets the broker fail whenever a retry is to be sent, as Redis does when it is full."""

    def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        """Fail it."""
        from dramatiq.middleware import MiddlewareError

        if message.options.get("retries"):
            raise MiddlewareError("out of memory")


def test_a_retry_that_the_broker_drops_goes_back_to_the_queue(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        raise ValueError

    broker.middleware.insert(0, BreakRetries())
    message = build.send()
    start_worker()
    row = until(
        lambda: row if (row := scene.row(message.message_id))["retries"] == 1 else None,
    )
    # Dramatiq has acknowledged the message without a word; the reconciler finds the run waiting.
    assert (row["status"], row["dispatch"], row["message_ref"]) == ("queued", 2, None)


class BrokenLedger:
    """Makes a verb of the service fail as if the database were down, until it is mended."""

    def __init__(self, service: Any, verb: str) -> None:
        self.mended = threading.Event()
        self.tried = threading.Event()
        works = getattr(service, verb)

        def broken(*arguments: Any, **named: Any) -> Any:
            if not self.mended.is_set():
                self.tried.set()
                raise LedgerUnavailable("the database is down", address="here")
            return works(*arguments, **named)

        setattr(service, verb, broken)


@pytest.mark.parametrize("verb", ["finish", "begin_and_finish"])
def test_finished_work_is_not_acknowledged_before_the_ledger_holds_its_end(
    verb: str, broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    begun = threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        # Short enough for one statement, or not over before its beginning is recorded.
        assert verb == "begin_and_finish" or begun.wait(10)

    outage = BrokenLedger(tracker_of(broker).runs, verb)
    message = build.send()
    start_worker()
    if verb == "finish":
        until(lambda: scene.row(message.message_id)["status"] == "running")
        begun.set()
    assert outage.tried.wait(10)
    assert scene.row(message.message_id)["completed_at"] is None
    assert broker.client.hlen("dramatiq:default.msgs") == 1  # type: ignore[attr-defined]
    outage.mended.set()
    assert scene.completed(message.message_id)["outcome"] == "succeeded"
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]


def test_nothing_starts_while_the_ledger_is_down(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    outage = BrokenLedger(tracker_of(broker).runs, "reserve")
    message = build.send()
    start_worker()
    assert outage.tried.wait(10)
    assert calls == []
    outage.mended.set()
    assert scene.completed(message.message_id)["attempt"] == 1
    assert calls == [1]


def test_a_worker_that_stops_during_an_outage_keeps_its_messages_in_the_broker(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    outage = BrokenLedger(tracker_of(broker).runs, "reserve")
    message = build.send()
    worker = start_worker()
    assert outage.tried.wait(10)
    worker.stop(timeout=5000)
    assert scene.row(message.message_id)["status"] == "queued"
    assert broker.client.hlen("dramatiq:default.msgs") == 1  # type: ignore[attr-defined]


def test_a_worker_that_was_given_up_goes_on_under_a_new_id_and_overwrites_nothing(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    go_on = threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        if current_run().attempt == 1:
            go_on.wait(10)

    message = build.send()
    start_worker()
    give_worker_up(broker, scene, message.message_id)
    scene.recover(message.message_id)
    go_on.set()
    until(lambda: "late_result" in scene.kinds(message.message_id))
    row = scene.row(message.message_id)
    assert (row["status"], row["attempt"]) == ("queued", 1)
