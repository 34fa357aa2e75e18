"""How the span of an attempt ends, whatever ends the attempt, and what the next is linked to."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.middleware import AgeLimit
from dramatiq.worker import Worker

from lastword import start
from lastword.config import Config
from lastword.reasons import Deferral, Reason
from lastword_middleware.spans import fields_of_line
from tests.spans import Spans, spans
from tests.support import Scene, until
from tests.workers import StartWorker

__all__ = ["spans"]


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, tracing=True)


def test_a_retry_is_linked_to_the_start_and_to_the_attempt_before(
    broker: Broker, start_worker: StartWorker, spans: Spans
) -> None:
    failed: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        if len(failed) < 2:
            failed.append(1)
            raise ValueError("hunter2")

    run_id = build.send().message_id
    start_worker()
    first, second, third = spans.attempts(run_id, 3)
    [sent] = spans.named("send default")
    assert second.links == {"start": sent.span_id, "last_attempt": first.span_id}
    assert third.links == {"start": sent.span_id, "last_attempt": second.span_id}
    assert {span.parent_id for span in (first, second, third)} == {sent.span_id}
    assert (first.status, first.attributes["error.type"]) == ("ERROR", "ValueError")
    assert first.attributes["lastword.outcome"] == "pending"
    assert first.attributes["lastword.reason"] == first.description
    assert (third.status, third.attributes["lastword.outcome"]) == ("UNSET", "succeeded")
    assert "hunter2" not in repr(spans.spans)


def test_a_run_that_was_put_off_goes_on_in_its_trace_and_that_is_no_error(
    broker: Broker, start_worker: StartWorker, spans: Spans
) -> None:
    put_off: list[int] = []

    @dramatiq.actor(operation="report.waits", broker=broker)
    def wait() -> None:
        if not put_off:
            put_off.append(1)
            raise Deferral(0.05, Reason.THROTTLED)

    run_id = wait.send().message_id
    start_worker()
    first, second = spans.attempts(run_id, 2)
    assert (first.status, first.attributes["lastword.reason"]) == ("UNSET", "throttled")
    assert second.links == {"start": first.parent_id, "last_attempt": first.span_id}


def test_a_run_that_has_failed_says_why_and_not_with_what_words(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def fail() -> None:
        raise KeyError("hunter2")

    run_id = fail.send().message_id
    start_worker()
    [attempt] = spans.attempts(run_id, 1)
    assert (attempt.status, attempt.attributes["error.type"]) == ("ERROR", "KeyError")
    assert attempt.attributes["lastword.outcome"] == "failed"
    assert attempt.attributes["lastword.reason"] == scene.completed(run_id)["reason"]
    assert "hunter2" not in repr(spans.spans)


def test_a_delivery_that_is_refused_is_no_attempt(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    start_worker()
    scene.completed(message.message_id)
    broker.enqueue(message)
    broker.join("default", timeout=10_000)
    spans.attempts(message.message_id, 1)


def test_a_tracer_that_breaks_breaks_neither_starts_nor_runs(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    spans.broken = RuntimeError("broken")
    run_ids = [start("report.build").run_id, build.send().message_id]
    start_worker()
    assert [scene.completed(run_id)["outcome"] for run_id in run_ids] == ["succeeded"] * 2


def test_an_attempt_that_another_middleware_skips_ends_its_span(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    class Skips(dramatiq.Middleware):
        def before_process_message(self, broker: Broker, message: Any) -> None:
            message.fail()
            raise dramatiq.middleware.SkipMessage

    broker.add_middleware(Skips(), after=dramatiq.middleware.Retries)

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    run_id = build.send().message_id
    start_worker()
    [attempt] = spans.attempts(run_id, 1)
    assert (attempt.status, attempt.attributes["lastword.reason"]) == ("ERROR", "rejected")


def test_an_attempt_that_was_asked_to_stop_ends_its_span(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    begun = threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        while True:
            time.sleep(0.01)

    run_id = build.send().message_id
    start_worker()
    assert begun.wait(10)
    until(lambda: scene.row(run_id)["status"] == "running")
    scene.runs.cancel([run_id], by="ada")  # type: ignore[list-item]
    [attempt] = spans.attempts(run_id, 1)
    assert (attempt.status, attempt.attributes["lastword.outcome"]) == ("ERROR", "cancelled")
    assert attempt.attributes["error.type"] == "CancelRequested"


@pytest.mark.parametrize("obeys", [True, False])
def test_an_attempt_past_its_time_limit_ends_its_span_whether_it_stops_or_not(
    broker: Broker, start_worker: StartWorker, spans: Spans, obeys: bool
) -> None:
    go_on = threading.Event()

    @dramatiq.actor(operation="report.short", broker=broker)
    def run_on() -> None:
        while not go_on.is_set():
            try:
                time.sleep(0.01)
            except BaseException:
                if obeys:
                    raise

    run_id = run_on.send().message_id
    start_worker()
    try:
        [attempt] = spans.attempts(run_id, 1)
        assert (attempt.status, attempt.description) == ("ERROR", "time_limit_exceeded")
    finally:
        go_on.set()
    spans.attempts(run_id, 1)


def test_a_worker_that_stops_with_work_in_hand_ends_its_spans(
    broker: Broker, scene: Scene, spans: Spans
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(20)

    worker = Worker(broker, worker_timeout=50, worker_threads=1)
    run_id = build.send().message_id
    worker.start()
    try:
        assert begun.wait(10)
        worker.stop(timeout=100)
        [attempt] = spans.attempts(run_id, 1)
        assert (attempt.status, attempt.attributes["lastword.reason"]) == ("ERROR", "worker_lost")
    finally:
        go_on.set()
        for thread in worker.workers:
            thread.join(10)


def test_attempts_of_a_run_that_nobody_traced_are_one_trace_all_the_same(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    failed: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        if not failed:
            failed.append(1)
            raise ValueError

    message = build.message().copy(options={"lastword_dispatch": 1})
    scene.accept(run_id=message.message_id, payload=message.encode().decode(), actor_name="build")
    broker.enqueue(message)
    start_worker()
    first, second = spans.attempts(message.message_id, 2)
    assert (first.parent_id, first.links) == (None, {})
    assert (second.trace_id, second.parent_id) == (first.trace_id, first.span_id)
    assert second.links == {"start": first.span_id, "last_attempt": first.span_id}


def test_a_line_of_log_says_in_which_attempt_it_was_written(
    broker: Broker, start_worker: StartWorker, spans: Spans
) -> None:
    said: list[object] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        said.append(fields_of_line())

    run_id = build.send().message_id
    start_worker()
    [attempt] = spans.attempts(run_id, 1)
    assert said == [{"trace_id": attempt.trace_id, "span_id": attempt.span_id}]
    assert fields_of_line() == {}


def test_a_thread_is_outside_of_the_trace_between_two_attempts(
    broker: Broker, start_worker: StartWorker, spans: Spans
) -> None:
    seen: list[object] = []

    class Looks(dramatiq.Middleware):
        def before_process_message(self, broker: Broker, message: object) -> None:
            seen.append(fields_of_line())

    broker.add_middleware(Looks(), before=AgeLimit)

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    for _ in range(6):
        run_id = build.send().message_id
        if not seen:
            start_worker()
        spans.attempts(run_id, 1)
    assert seen == [{}] * 6
