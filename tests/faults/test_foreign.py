"""Messages that are not what was accepted: never executed, dead-lettered, counted."""

from __future__ import annotations

import json

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker

from tests.support import Scene, until
from tests.workers import StartWorker, counter

XQ = "dramatiq:default.XQ"


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def test_a_tampered_message_is_refused_and_its_run_done_as_it_was_accepted(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    seen: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(account: int) -> None:
        seen.append(account)

    message = build.send(42)
    ref = message.options["redis_message_id"]
    told = json.loads(client.hget("dramatiq:default.msgs", ref) or b"")
    client.hset("dramatiq:default.msgs", ref, json.dumps({**told, "args": [666]}))
    start_worker()
    until(lambda: client.zcard(XQ) == 1, what="the message to be dead-lettered")
    until(lambda: counter(scene, "refused_deliveries", "tampered") == 1)
    row = scene.row(message.message_id)
    assert (row["status"], row["message_ref"], row["attempt"]) == ("queued", None, 0)
    assert seen == []


def test_a_message_of_another_deployment_is_dead_lettered_and_never_executed(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    seen: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        seen.append(1)

    foreign = build.message().copy(options={"lastword_dispatch": 1})
    broker.enqueue(foreign)
    start_worker()
    until(lambda: client.zcard(XQ) == 1)
    until(lambda: counter(scene, "refused_deliveries", "unknown_run") == 1)
    assert seen == []
