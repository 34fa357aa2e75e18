"""What is refused: deliveries that mean nothing, and sends and actors that are wrong."""

from __future__ import annotations

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker

from lastword_middleware.broker import redis_client
from lastword_middleware.errors import ActorRefused, SendRefused
from lastword_middleware.options import DISPATCH
from tests.support import Scene, until
from tests.workers import StartWorker


def test_a_message_of_a_process_without_lastword_is_accepted_on_its_delivery(
    broker: Broker, scene: Scene, start_worker: StartWorker, redis_url: str
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    foreign = build.message()
    untracked = RedisBroker(client=redis_client(redis_url), middleware=[])
    untracked.enqueue(foreign)
    start_worker()
    assert scene.completed(foreign.message_id)["outcome"] == "succeeded"


def test_a_second_delivery_of_the_same_message_is_skipped(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    message = build.send()
    broker.enqueue(message)
    start_worker()
    scene.completed(message.message_id)
    broker.join("default", timeout=10_000)
    assert calls == [1]
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]


def test_two_deliveries_of_a_run_that_are_fetched_at_once_start_it_once(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    message = build.send()
    broker.enqueue(message)
    start_worker()
    scene.completed(message.message_id)
    assert calls == [1]
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]


def test_a_message_of_an_unknown_run_is_dead_lettered_and_never_run(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    stray = build.message().copy(options={DISPATCH: 1})
    broker.enqueue(stray)
    start_worker()
    client = broker.client  # type: ignore[attr-defined]
    until(lambda: client.zcard("dramatiq:default.XQ") == 1)
    assert calls == []


def test_an_argument_without_json_form_is_refused_before_anything_is_written(
    broker: Broker, scene: Scene
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(thing: object) -> None: ...

    for thing in (object(), b"bytes", float("nan")):
        with pytest.raises(SendRefused, match="no JSON form"):
            build.send(thing)
    assert_nothing_was_written(broker, scene)


def test_a_payload_that_is_too_large_is_refused_before_anything_is_written(
    broker: Broker, scene: Scene
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(text: str) -> None: ...

    with pytest.raises(SendRefused, match=r"has 26\d\d\d\d bytes; expected at most 262144"):
        build.send("x" * 262_000 + "é" * 100)
    assert_nothing_was_written(broker, scene)


def test_an_actor_of_an_unknown_operation_is_refused_at_its_declaration(broker: Broker) -> None:
    with pytest.raises(ActorRefused, match=r"'report.lost' has no policy.*report.build"):

        @dramatiq.actor(operation="report.lost", broker=broker)
        def build() -> None: ...


def test_an_actor_may_not_outlast_its_policy(broker: Broker) -> None:
    with pytest.raises(ActorRefused, match=r"time_limit=11000; expected a number of at most 10000"):

        @dramatiq.actor(operation="report.build", time_limit=11_000, broker=broker)
        def build() -> None: ...


def test_a_message_may_not_outlast_its_policy(broker: Broker, scene: Scene) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    with pytest.raises(SendRefused, match="max_retries=50"):
        build.send_with_options(max_retries=50)
    assert_nothing_was_written(broker, scene)


def assert_nothing_was_written(broker: Broker, scene: Scene) -> None:
    with scene.ledger.session():
        assert scene.ledger.execute("SELECT id FROM lastword_run") == []
    assert broker.do_qsize("default") == 0  # type: ignore[attr-defined]
