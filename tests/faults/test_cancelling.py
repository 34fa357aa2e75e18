"""Asking for an end: what waits ends at once, what works is interrupted or ended in the end."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.errors import StartRefused
from lastword.identity import RunId
from lastword.repeating import repeat_run
from lastword.service.cancelling import Cancelled
from lastword.storage.ledger import Ledger
from lastword_scheduler.timetable import generic_reconciler
from lastword_scheduler.verdicts import Action
from tests.support import Scene, policy, until
from tests.workers import StartWorker, tracker_of


def test_a_run_that_waits_is_cancelled_at_once_and_its_message_does_nothing(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    run_id = RunId(build.send().message_id)
    assert scene.runs.cancel([run_id], by="ada") == {run_id: Cancelled.CANCELLED}
    start_worker()
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]
    assert calls == []
    assert scene.row(run_id)["outcome"] == "cancelled"


@pytest.mark.parametrize("kind", ["thread", "coroutine"])
def test_an_attempt_that_works_is_interrupted_and_its_run_is_cancelled(
    broker: Broker, scene: Scene, start_worker: StartWorker, kind: str
) -> None:
    begun, cleaned_up = threading.Event(), threading.Event()

    def in_thread() -> None:
        begun.set()
        try:
            while True:
                time.sleep(0.01)
        finally:
            cleaned_up.set()

    async def in_loop() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned_up.set()

    worker = start_worker()
    declare: Any = dramatiq.actor
    actor = {"thread": in_thread, "coroutine": in_loop}[kind]
    build = declare(actor, operation="report.build", actor_name="build", broker=broker)
    run_id = RunId(build.send().message_id)
    assert begun.wait(10)
    until(lambda: scene.row(run_id)["status"] == "running")
    assert scene.runs.cancel([run_id], by="ada") == {run_id: Cancelled.REQUESTED}
    row = scene.completed(run_id)
    assert (row["outcome"], row["reason"]) == ("cancelled", "cancelled_by_operator")
    assert (row["closed_by"], row["cancel_requested_by"]) == ("worker", "ada")
    assert cleaned_up.is_set()
    assert scene.kinds(run_id) == ["accepted", "claimed", "cancel_requested", "completed"]
    assert all(thread.is_alive() for thread in worker.workers)
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]


def test_a_run_in_a_workers_hands_that_has_not_begun_is_cancelled_with_the_next_beat(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(name: str) -> None:
        calls.append(name)
        begun.set()
        go_on.wait(10)

    for name in ("first", "second"):
        build.send(name)
    held = RunId(build.send("third").message_id)
    start_worker()
    until(lambda: scene.row(held)["holder"] and len(calls) == 2)
    assert scene.runs.cancel([held], by="ada") == {held: Cancelled.REQUESTED}
    assert scene.completed(held)["outcome"] == "cancelled"
    go_on.set()
    until(lambda: broker.client.hlen("dramatiq:default.msgs") == 0)  # type: ignore[attr-defined]
    assert sorted(calls) == ["first", "second"]


def test_an_attempt_that_ignores_the_request_is_ended_after_its_bound(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(30)

    run_id = RunId(build.send().message_id)
    start_worker()
    assert begun.wait(10)
    until(lambda: scene.row(run_id)["status"] == "running")
    scene.runs.cancel([run_id], by="ada")
    reconciler = generic_reconciler(config, sqlite_ledger)
    assert dict(reconciler.sweep().acted) == {}
    scene.backdate(run_id, "cancel_requested_at", 60)
    assert dict(reconciler.sweep().acted) == {Action.CLOSE: 1}
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"]) == ("failed", "cancel_ignored")
    go_on.set()
    until(lambda: "late_result" in scene.kinds(run_id))
    assert scene.row(run_id) == row


def test_a_run_asked_to_stop_whose_worker_is_lost_is_not_tried_again(
    scene: Scene, config: Config, sqlite_ledger: Ledger
) -> None:
    run_id = scene.accept()
    worker_id = scene.worker()
    scene.claim(run_id, worker_id)
    scene.runs.cancel([run_id], by="ada")
    scene.workers.lose(worker_id, cause={"signal": "SIGKILL"})
    generic_reconciler(config, sqlite_ledger).sweep()
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"]) == ("failed", "worker_lost")


def test_a_retry_that_was_due_does_not_happen_once_the_run_was_asked_to_stop(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(10)
        raise ValueError

    run_id = RunId(build.send().message_id)
    start_worker()
    assert begun.wait(10)
    until(lambda: scene.row(run_id)["status"] == "running")
    scene.runs.cancel([run_id], by="ada")
    go_on.set()
    row = scene.completed(run_id)
    assert (row["outcome"], row["attempt"]) == ("cancelled", 1)


def test_a_second_request_interrupts_nothing_twice(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    from lastword_middleware.interrupting import CancelRequested, InterruptAttempts

    interrupts: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        while not go_on.is_set():
            try:
                begun.set()
                while not go_on.is_set():
                    time.sleep(0.01)
            except CancelRequested:
                interrupts.append(1)

    run_id = RunId(build.send().message_id)
    start_worker()
    assert begun.wait(10)
    [attempt] = until(lambda: tracker_of(broker).work.open_attempts())
    [interrupting] = [item for item in broker.middleware if isinstance(item, InterruptAttempts)]
    for _ in range(3):
        interrupting.cancel(attempt)
    until(lambda: interrupts)
    go_on.set()
    scene.completed(run_id)
    assert interrupts == [1]


def test_a_completed_run_is_done_again_as_a_new_run_that_names_it(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    seen: list[int] = []

    @dramatiq.actor(operation="report.once", broker=broker)
    def build(account: int) -> None:
        seen.append(account)
        if len(seen) == 1:
            raise ValueError

    first = RunId(build.send(42).message_id)
    start_worker()
    before = scene.completed(first)
    assert before["outcome"] == "failed"
    again = repeat_run(scene.ledger, first)
    scene.backdate(again.run_id, "sent_at", 10)
    generic_reconciler(config, sqlite_ledger).sweep()
    row = scene.completed(again.run_id)
    assert (row["outcome"], row["retry_of"]) == ("succeeded", first)
    assert seen == [42, 42]
    assert scene.row(first) == before


def test_a_run_that_is_active_or_under_manual_review_is_not_repeated(scene: Scene) -> None:
    active = scene.accept()
    with pytest.raises(StartRefused, match=r"is queued; expected a completed run"):
        repeat_run(scene.ledger, active)
    reviewed = scene.accept(policy=policy("restore.execute", manual_review=True))
    scene.runs.cancel([reviewed], by="ada")
    with pytest.raises(StartRefused, match="manual review"):
        repeat_run(scene.ledger, reviewed)
