"""Traces: from the span that starts a run to the spans of its attempts, and of what it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from opentelemetry import baggage, context, trace

from lastword import start, start_children
from lastword.application import application_here
from lastword.config import Config
from lastword.repeating import repeat_run
from lastword_middleware.encoding import encoded
from lastword_middleware.options import LONGEST_TRACE_VALUE, MOST_TRACE_NAMES, TRACE
from tests.spans import Spans, spans
from tests.support import Scene
from tests.workers import StartWorker

tracer = trace.get_tracer("an application")

StartRun = Callable[[Any], str]

__all__ = ["spans"]


@pytest.fixture
def config(config: Config) -> Config:
    return replace(config, tracing=True)


def by_start(actor: Any) -> str:
    return start("report.build", inputs={"secret": "hunter2"}).run_id


def by_send(actor: Any) -> str:
    run_id: str = actor.send(secret="hunter2").message_id
    return run_id


@pytest.mark.parametrize("start_run", [by_start, by_send])
def test_an_attempt_is_in_the_trace_of_the_span_that_its_run_was_started_in(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans, start_run: StartRun
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(secret: str) -> None:
        with tracer.start_as_current_span("inside"):
            pass

    with tracer.start_as_current_span("request"):
        run_id = start_run(build)
    start_worker()
    [attempt] = spans.attempts(run_id, 1)
    [request], [inside] = spans.named("request"), spans.named("inside")
    [sent] = spans.named("send default")
    assert {span.trace_id for span in spans.spans} == {request.trace_id}
    assert (sent.parent_id, attempt.parent_id) == (request.span_id, sent.span_id)
    assert inside.parent_id == attempt.span_id
    assert attempt.links == {"start": sent.span_id}
    assert (sent.kind, attempt.kind) == ("PRODUCER", "CONSUMER")
    assert (attempt.name, attempt.status) == ("process default", "UNSET")
    about = {
        "messaging.system": "dramatiq",
        "messaging.destination.name": "default",
        "messaging.message.id": run_id,
        "lastword.operation": "report.build",
    }
    verb = {"messaging.operation.name": "send", "messaging.operation.type": "send"}
    assert sent.attributes == {**about, **verb}
    assert attempt.attributes == {
        **about,
        **dict.fromkeys(verb, "process"),
        "lastword.attempt": 1,
        "lastword.worker": scene.completed(run_id)["worker_id"],
        "lastword.outcome": "succeeded",
    }
    assert "hunter2" not in repr(spans.spans)


def test_children_are_in_the_trace_of_their_parent(
    broker: Broker, start_worker: StartWorker, spans: Spans
) -> None:
    children: list[str] = []

    @dramatiq.actor(operation="report.once", broker=broker)
    def part(number: int) -> None: ...

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        children.extend(
            child.run_id for child in start_children("report.once", [{"number": 1}, {"number": 2}])
        )

    with tracer.start_as_current_span("request") as request:
        run_id = build.send().message_id
    start_worker()
    [parent] = spans.attempts(run_id, 1)
    found = [attempt for child in children for attempt in spans.attempts(child, 1)]
    sent = {span.span_id: span for span in spans.named("send default")}
    assert len(found) == 2
    for attempt in found:
        assert sent[attempt.parent_id or ""].parent_id == parent.span_id
        assert attempt.trace_id == f"{request.get_span_context().trace_id:032x}"


def test_the_next_stage_of_a_pipeline_is_in_the_trace_of_the_one_before(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> int:
        return 1

    @dramatiq.actor(operation="report.once", broker=broker)
    def publish(number: int) -> None: ...

    stages = dramatiq.pipeline(
        [
            build.message(),
            publish.message_with_options(),
        ],
        broker=broker,
    )
    stages.run()
    start_worker()
    first_id, second_id = [message.message_id for message in stages.messages]
    [first], [second] = spans.attempts(first_id, 1), spans.attempts(second_id, 1)
    sent = {span.span_id: span for span in spans.named("send default")}
    assert second.trace_id == first.trace_id
    assert sent[second.parent_id or ""].parent_id == first.span_id
    assert first.trace_id in scene.row(second_id)["payload"]


def test_a_coroutine_works_inside_the_span_of_its_attempt(
    broker: Broker, start_worker: StartWorker, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    async def build() -> None:
        with tracer.start_as_current_span("inside"):
            pass

    run_id = build.send().message_id
    start_worker()
    [attempt] = spans.attempts(run_id, 1)
    assert [span.parent_id for span in spans.named("inside")] == [attempt.span_id]


def test_a_start_that_sends_nothing_is_no_sending(
    broker: Broker, scene: Scene, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    assert [start("report.build").result for _ in range(2)] == ["accepted", "deduped"]
    assert len(spans.named("send default")) == 1


def test_a_send_that_the_broker_did_not_take_is_an_error_and_stays_the_start(
    broker: Broker, scene: Scene, config: Config, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    broker.client.connection_pool.connection_kwargs["port"] = 1  # type: ignore[attr-defined]
    broker.client.connection_pool.connection_kwargs["path"] = "/nowhere"  # type: ignore[attr-defined]
    broker.client.connection_pool.disconnect()  # type: ignore[attr-defined]
    run = start("report.build")
    [sent] = spans.named("send default")
    assert (sent.status, run.result) == ("ERROR", "accepted")
    assert sent.span_id in scene.row(run.run_id)["payload"]


def test_what_an_application_lets_travel_with_a_request_is_not_kept_in_the_ledger(
    broker: Broker, scene: Scene, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    token = context.attach(baggage.set_baggage("user", "ada"))
    run_id = build.send().message_id
    context.detach(token)
    assert "ada" not in scene.row(run_id)["payload"]


def test_a_schedule_keeps_no_trace_of_the_day_it_was_added(broker: Broker, spans: Spans) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    with tracer.start_as_current_span("request"):
        letter = application_here().dispatcher.template("report.build", "id", {})  # type: ignore[arg-type]
    assert TRACE not in letter.payload
    assert not spans.named("send default")


def test_a_start_is_not_refused_for_the_size_of_its_trace(
    broker: Broker, config: Config, spans: Spans
) -> None:
    message: dramatiq.Message[Any] = dramatiq.Message("default", "build", (), {}, {})
    size = len(message.encode())
    traced = message.copy(options={TRACE: {"traceparent": "x" * 55}})
    encoded(traced, max_payload_bytes=size + 20)
    # What no propagator would write does count.
    large = message.copy(options={TRACE: {"traceparent": "x" * LONGEST_TRACE_VALUE + "x"}})
    with pytest.raises(Exception, match="bytes"):
        encoded(large, max_payload_bytes=size + 20)


@pytest.mark.parametrize(
    "carried",
    [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        {"traceparent": "00-xyz-1-01"},
        {"traceparent": 7},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" + " " * 1000},
        {f"name-{number}": "" for number in range(MOST_TRACE_NAMES + 1)},
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "\n": "é"},
        {"lastword-last-attempt": "nonsense"},
        ["traceparent"],
        None,
    ],
    ids=lambda carried: repr(carried)[:40],
)
def test_a_trace_context_that_is_none_does_no_harm_to_its_run(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans, carried: Any
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.message().copy(options={TRACE: carried, "lastword_dispatch": 1})

    scene.accept(run_id=message.message_id, payload=message.encode().decode(), actor_name="build")
    broker.enqueue(message)
    start_worker()
    assert scene.completed(message.message_id)["outcome"] == "succeeded"
    [attempt] = spans.attempts(message.message_id, 1)
    assert (attempt.parent_id, attempt.links) == (None, {})


def test_a_run_that_is_repeated_is_in_the_trace_of_the_old_one(
    broker: Broker, scene: Scene, start_worker: StartWorker, spans: Spans
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    run_id = start("report.build").run_id
    start_worker()
    [attempt] = spans.attempts(run_id, 1)
    scene.completed(run_id)
    again = repeat_run(scene.ledger, run_id)
    assert again.result == "accepted"
    assert f"-{attempt.trace_id}-{attempt.parent_id}-" in scene.row(again.run_id)["payload"]


def test_a_start_that_is_rolled_back_is_no_sending(broker: Broker, spans: Spans) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    def change_ones_mind() -> None:
        with application_here().ledger.transaction():
            start("report.build")
            raise KeyError

    with pytest.raises(KeyError):
        change_ones_mind()
    assert not spans.named("send default")
