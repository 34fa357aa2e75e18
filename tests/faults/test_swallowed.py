"""What Dramatiq loses without a word and what ends its threads: each is told, and heals."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.middleware import time_limit as dramatiq_time_limit
from dramatiq.worker import Worker

from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_middleware import heartbeat
from lastword_scheduler.timetable import generic_reconciler
from tests.support import Scene, until
from tests.workers import StartWorker, counter


class FullBroker(Middleware):
    """Fails the sending of every retry, as a Redis does that is out of memory."""

    def __init__(self) -> None:
        self.is_full = True

    def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        """Fail it, once the ledger holds what it means."""
        if self.is_full and message.options.get("retries"):
            broker.client.config_set("maxmemory", "1")  # type: ignore[attr-defined]

    def after_process_message(self, broker: Broker, message: Any, **ended: Any) -> None:
        """There is room again."""
        broker.client.config_set("maxmemory", "0")  # type: ignore[attr-defined]


def test_a_retry_that_redis_has_no_memory_for_is_sent_later(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError

    full = FullBroker()
    broker.middleware.insert(1, full)
    message = build.send()
    start_worker()
    row = until(lambda: row if (row := scene.row(message.message_id))["retries"] == 1 else None)
    # Dramatiq has acknowledged the message; without a ledger the run would be gone.
    assert (row["status"], row["dispatch"]) == ("queued", 2)
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]
    full.is_full = False
    scene.backdate(message.message_id, "sent_at", 10)
    generic_reconciler(config, sqlite_ledger).sweep()
    assert scene.completed(message.message_id)["outcome"] == "succeeded"
    assert len(calls) == 2


def test_a_retry_that_a_hook_refuses_is_counted_and_queued_without_a_message(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    def broken(retries: int, error: BaseException) -> bool:
        raise AttributeError("a bug in the predicate")

    @dramatiq.actor(operation="report.build", retry_when=broken, broker=broker)
    def build() -> None:
        raise ValueError

    message = build.send()
    start_worker()
    row = until(lambda: row if (row := scene.row(message.message_id))["retries"] == 1 else None)
    assert (row["status"], row["message_ref"]) == ("queued", None)
    until(lambda: counter(scene, "swallowed", "retry_lost") == 1)


@pytest.fixture
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grace after the limit that is over before a test is."""
    monkeypatch.setattr(heartbeat, "INTERRUPT_GRACE_S", 0.3)


@pytest.mark.usefixtures("quick_limits")
@pytest.mark.parametrize("kind", ["blocked in C", "swallowed", "zombie coroutine"])
def test_an_attempt_that_does_not_stop_at_its_limit_ends_all_the_same(
    broker: Broker, scene: Scene, start_worker: StartWorker, kind: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def blocked() -> None:
        begun.set()
        # One call into C, as of a driver without a timeout: no exception gets in before it returns.
        go_on.wait(20)

    def swallowing() -> None:
        begun.set()
        while not go_on.is_set():
            try:
                while not go_on.is_set():
                    time.sleep(0.01)
            except BaseException:  # noqa: BLE001 - as people write it
                continue

    async def zombie() -> None:
        begun.set()
        while not go_on.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    start_worker()
    actors = {"blocked in C": blocked, "swallowed": swallowing, "zombie coroutine": zombie}
    declare: Any = dramatiq.actor
    build = declare(actors[kind], operation="report.short", actor_name="build", broker=broker)
    message = build.send()
    assert begun.wait(10)
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "time_limit_exceeded")
    go_on.set()
    if kind == "swallowed":
        # It returned after all; the others say of themselves what is recorded already.
        until(lambda: "late_result" in scene.kinds(message.message_id))
    assert scene.row(message.message_id) == row


class SlowAfterwards(Middleware):
    """Takes longer than the time limit once the actor is done, as a slow callback does."""

    def after_process_message(self, broker: Broker, message: Any, **ended: Any) -> None:
        """Be slow, in steps into which an exception could be raised."""
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:
            time.sleep(0.01)


@pytest.mark.parametrize("fails", [True, False])
def test_a_time_limit_that_passes_after_the_actor_hits_nothing_and_ends_no_thread(
    broker: Broker, scene: Scene, start_worker: StartWorker, fails: bool
) -> None:
    @dramatiq.actor(operation="report.short", broker=broker)
    def build() -> None:
        if fails:
            raise ValueError

    broker.middleware.insert(1, SlowAfterwards())
    message = build.send()
    worker = start_worker()
    row = scene.completed(message.message_id)
    assert row["reason"] == ("retries_exhausted" if fails else None)
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]
    assert all(thread.is_alive() for thread in worker.workers)


def test_a_limit_raised_at_the_very_end_neither_fails_the_run_nor_ends_the_thread(
    broker: Broker, scene: Scene, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Deadlines are looked at all the time, so that many of them fall on the actor's last line.
    monkeypatch.setattr(dramatiq_time_limit, "sleep", lambda seconds: time.sleep(0.001))

    @dramatiq.actor(operation="report.short", time_limit=20, broker=broker)
    def build() -> None:
        time.sleep(0.0195)

    sent = [build.send() for _ in range(60)]
    worker = start_worker()
    for message in sent:
        row = scene.completed(message.message_id)
        assert (row["outcome"], row["reason"]) in {
            ("succeeded", None),
            ("failed", "time_limit_exceeded"),
        }
    assert all(thread.is_alive() for thread in worker.workers)


def unfit(worker: Worker, caplog: pytest.LogCaptureFixture) -> str:
    """What the worker says of itself once it finds that it cannot work."""
    return until(
        lambda: next(
            (line.getMessage() for line in caplog.records if "worker_unfit" in line.getMessage()),
            "",
        ),
        what="the worker to find itself unfit",
    )


def test_a_worker_whose_consumer_thread_died_says_so(
    broker: Broker, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    worker = start_worker()
    consumer = worker.consumers["default"]
    consumer.running = False
    until(lambda: not consumer.is_alive())
    assert "the consumer of default died" in unfit(worker, caplog)


def test_a_worker_whose_worker_thread_died_says_so(
    broker: Broker, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker = start_worker()
    worker.workers[0].stop()
    until(lambda: not worker.workers[0].is_alive())
    assert "1 of 2 worker threads died" in unfit(worker, caplog)


def test_a_coroutine_that_keeps_the_event_loop_makes_the_worker_unfit(
    broker: Broker, config: Config, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    from lastword_middleware.fitness import Fitness

    go_on = threading.Event()
    worker = start_worker()

    @dramatiq.actor(operation="report.build", broker=broker)
    async def build() -> None:
        go_on.wait(10)

    build.send()
    impatient = Fitness(worker, 1.0, loop_answers_within_s=0.2)

    def complains() -> bool:
        impatient.look()
        return any("event loop did not answer" in line.getMessage() for line in caplog.records)

    until(complains)
    go_on.set()
