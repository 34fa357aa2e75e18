"""Deliveries that cross each other: duplicates, hops, zombies and crashes between two steps."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import Any

import dramatiq
import pytest
from dramatiq import pipeline
from dramatiq.broker import Broker
from dramatiq.middleware import AgeLimit, Middleware, Pipelines

from lastword import current_run
from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_middleware.errors import ActorRefused, SendRefused
from lastword_scheduler.timetable import generic_reconciler
from tests.support import Scene, until
from tests.workers import StartWorker, give_worker_up, tracker_of


def test_an_aged_duplicate_does_not_end_the_attempt_that_works(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(10)

    message = build.send()
    start_worker()
    assert begun.wait(10)
    broker.enqueue(message.copy(options={"max_age": 1, "lastword_dispatch": 1}))
    client = broker.client  # type: ignore[attr-defined]
    until(lambda: client.hlen("dramatiq:default.msgs") == 1, what="the duplicate to be dropped")
    until(lambda: scene.row(message.message_id)["status"] == "running")
    go_on.set()
    assert scene.completed(message.message_id)["outcome"] == "succeeded"


class SlowHop(Middleware):
    """Keeps the consumer busy after it has sent a delayed message on, until the run has begun."""

    def __init__(self, begun: threading.Event) -> None:
        self.begun = begun

    def after_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        """Wait in the consumer's thread only."""
        if threading.current_thread().__class__.__name__ == "ConsumerThread":
            self.begun.wait(10)


def test_a_delayed_message_is_acknowledged_though_its_run_began_meanwhile(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(10)

    broker.add_middleware(SlowHop(begun))
    message = build.send_with_options(delay=50)
    start_worker()
    client = broker.client  # type: ignore[attr-defined]
    until(lambda: begun.is_set() and client.hlen("dramatiq:default.DQ.msgs") == 0)
    go_on.set()
    assert scene.completed(message.message_id)["outcome"] == "succeeded"


def test_a_run_taken_from_a_zombie_is_done_by_the_same_process_meanwhile(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    go_on = threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        if current_run().attempt == 1:
            go_on.wait(20)

    message = build.send()
    start_worker()
    give_worker_up(broker, scene, message.message_id)
    generic_reconciler(config, sqlite_ledger).sweep()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"]) == ("succeeded", 2)
    go_on.set()
    until(lambda: "late_result" in scene.kinds(message.message_id))
    assert scene.row(message.message_id) == row


class CrashOnce(Pipelines):
    """Dies where a crash would hit between a run's last word and the sending of the next stage."""

    crashed = False

    def after_process_message(self, *arguments: Any, **named: Any) -> None:
        """Fail the first time."""
        if not CrashOnce.crashed:
            CrashOnce.crashed = True
            raise RuntimeError("crash")
        super().after_process_message(*arguments, **named)  # type: ignore[no-untyped-call]


def test_the_next_stage_of_a_pipeline_survives_a_crash_before_it_is_sent(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    seen: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def double(number: int) -> int:
        return 2 * number

    @dramatiq.actor(operation="report.once", broker=broker)
    def keep(number: int) -> None:
        seen.append(number)

    place = next(i for i, item in enumerate(broker.middleware) if isinstance(item, Pipelines))
    broker.middleware[place] = CrashOnce()
    stages = pipeline([double.message(21), keep.message()], broker=broker).run()  # type: ignore[call-arg]
    start_worker()
    first, second = (stage.message_id for stage in stages.messages)
    scene.completed(first)
    assert scene.row(second)["status"] == "queued"
    scene.backdate(second, "sent_at", 10)
    generic_reconciler(config, sqlite_ledger).sweep()
    assert scene.completed(second)["outcome"] == "succeeded"
    assert seen == [42]


def test_an_end_that_cannot_be_written_in_full_is_written_barely(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        current_run().progress(processed=1)

    runs: Any = tracker_of(broker).runs
    finish, begin_and_finish = runs.finish, runs.begin_and_finish

    def fails_in_full(ends: Any) -> Any:
        if any(end.counts for end in ends):
            raise ValueError("something in it cannot be kept")
        return finish(ends)

    def both_fail_in_full(attempts: Any) -> Any:
        if any(end.counts for _, end in attempts):
            raise ValueError("something in it cannot be kept")
        return begin_and_finish(attempts)

    runs.finish, runs.begin_and_finish = fails_in_full, both_fail_in_full
    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["summary_counts"]) == ("succeeded", "{}")


def test_a_fact_is_kept_as_it_was_when_it_was_said(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        rows: list[Any] = [1]
        current_run().remember(rows=rows)
        rows.append({2})

    message = build.send()
    start_worker()
    assert json.loads(scene.completed(message.message_id)["context"]) == {"rows": [1]}


def test_an_age_limit_of_the_broker_itself_is_told_as_one(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    [limit] = [item for item in broker.middleware if isinstance(item, AgeLimit)]
    limit.max_age = 1
    message = build.send()
    until(lambda: time.time() * 1000 > message.message_timestamp + 20)
    start_worker()
    assert scene.completed(message.message_id)["reason"] == "age_limit_exceeded"


def test_a_predicate_for_retries_is_bounded_by_the_policy(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", retry_when=lambda retries, error: True, broker=broker)
    def build() -> None:
        raise ValueError

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["reason"], row["attempt"]) == ("retries_exhausted", 3)


def test_a_predicate_for_retries_that_breaks_does_not_make_a_run_endless(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    def broken(retries: int, error: BaseException) -> bool:
        raise AttributeError("code")

    @dramatiq.actor(operation="report.build", retry_when=broken, broker=broker)
    def build() -> None:
        raise ValueError

    message = build.send()
    start_worker()
    eager = generic_reconciler(replace(config, message_grace=0.01), sqlite_ledger)
    until(lambda: eager.sweep() and scene.row(message.message_id)["status"] == "completed")
    row = scene.row(message.message_id)
    # Past the budget the wrapped predicate says no before it asks the broken one.
    assert (row["reason"], row["attempt"]) == ("retries_exhausted", 3)


@pytest.mark.parametrize("endless", [None, float("inf"), "7", 3])
def test_more_retries_than_the_policy_allows_are_refused(broker: Broker, endless: Any) -> None:
    with pytest.raises(ActorRefused, match=r"max_retries=.*a number of at most 2"):

        @dramatiq.actor(operation="report.build", max_retries=endless, broker=broker)
        def build() -> None: ...

    @dramatiq.actor(operation="report.build", broker=broker, actor_name="second")
    def second() -> None: ...

    with pytest.raises(SendRefused, match=r"max_retries=.*a number of at most 2"):
        second.send_with_options(max_retries=endless)


def test_a_second_worker_on_the_same_broker_is_not_stopping(
    broker: Broker, start_worker: StartWorker
) -> None:
    start_worker().stop(timeout=5000)
    assert tracker_of(broker).stopping.is_set()
    start_worker()
    assert not tracker_of(broker).stopping.is_set()
