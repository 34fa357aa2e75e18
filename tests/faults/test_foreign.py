"""Messages that are not what was accepted: never executed, dead-lettered, counted."""

from __future__ import annotations

import json
import time
from uuid import uuid4

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker

from lastword.service.workers import NewWorker
from tests.support import Scene, until
from tests.workers import StartWorker, counter, tracker_of

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


def _sent_by_a_stranger(client: redis.Redis, queue: str, **changes: object) -> None:
    """A message as a process without Lastword might write it, with something in it changed."""
    ref = str(uuid4())
    options = {"redis_message_id": ref, **dict(changes.pop("options", {}))}  # type: ignore[call-overload]
    message = {
        "queue_name": queue,
        "actor_name": "build",
        "args": [],
        "kwargs": {},
        "options": options,
        "message_id": str(uuid4()),
        "message_timestamp": 0,
        **changes,
    }
    client.hset(f"dramatiq:{queue}.msgs", ref, json.dumps(message))
    client.rpush(f"dramatiq:{queue}", ref)


RUBBISH: dict[str, dict[str, object]] = {
    "an id that no database keeps": {"message_id": "a\0b"},
    "an id with half a character": {"message_id": "\ud800"},
    "an id that is no text": {"message_id": ["list"]},
    "an endless id": {"message_id": "x" * 65},
    "arguments that are no object": {"kwargs": [1]},
    "a queue that nobody reads here": {"queue_name": "elsewhere"},
    "a number that no run has": {"options": {"lastword_dispatch": 2**70}},
    "more time than the policy has": {"options": {"time_limit": 10**9}},
}


@pytest.mark.parametrize("changes", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_is_dead_lettered_and_the_worker_goes_on(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    client: redis.Redis,
    changes: dict[str, object],
) -> None:
    seen: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None:
        seen.append(number)

    _sent_by_a_stranger(client, "default", **changes)
    worker = start_worker()
    until(lambda: client.zcard(XQ) == 1, what="the message to be dead-lettered")
    message = build.send(1)
    assert scene.completed(message.message_id)["outcome"] == "succeeded"
    assert seen == [1]
    assert all(thread.is_alive() for thread in worker.workers)


def test_a_delayed_message_over_its_policy_does_not_hold_up_the_others(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    # Refused only when its time has come it would be tried for ever, and all behind it would wait.
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    soon = {"eta": int(time.time() * 1000) + 300}
    _sent_by_a_stranger(client, "default.DQ", options={**soon, "time_limit": 10**9})
    start_worker()
    until(lambda: client.zcard(XQ) == 1, what="the message to be dead-lettered")
    assert counter(scene, "refused_deliveries", "unacceptable") == 1
    message = build.send_with_options(delay=400)
    assert scene.completed(message.message_id)["outcome"] == "succeeded"


def test_a_message_with_another_time_limit_than_was_accepted_is_tampered_with(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    ref = message.options["redis_message_id"]
    told = json.loads(client.hget("dramatiq:default.msgs", ref) or b"")
    told["options"]["max_retries"] = 10**6
    client.hset("dramatiq:default.msgs", ref, json.dumps(told))
    start_worker()
    until(lambda: counter(scene, "refused_deliveries", "tampered") == 1)
    assert scene.row(message.message_id)["attempt"] == 0


def test_a_message_is_compared_also_when_the_worker_had_no_lease_as_it_came(
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
    tracker = tracker_of(broker)
    boot = tracker.workers.boot

    def expired(worker: NewWorker, *, lease_ttl_s: float) -> None:
        boot(worker, lease_ttl_s=0.0)

    tracker.workers.boot = expired  # type: ignore[method-assign]
    start_worker()
    until(lambda: counter(scene, "refused_deliveries", "tampered") == 1)
    assert seen == []
    assert scene.row(message.message_id)["attempt"] == 0
