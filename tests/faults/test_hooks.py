"""Each way of a message through Dramatiq's hooks, one test a way, on a real Redis.

The rows are those of the table of Dramatiq 2.2's hooks: what is emitted for a success, a delay, a
retry, an exhausted run, a skip, a refused or broken hook, an unknown actor, a message that cannot
be read, and a graceful stop.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware, MiddlewareError, Retries, SkipMessage

from lastword import current_run
from tests.support import Scene, until
from tests.workers import StartWorker, counter

XQ = "dramatiq:default.XQ"


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def empty(client: redis.Redis) -> bool:
    """Whether no message of the queue is left anywhere but among the dead letters."""
    return not any(client.hlen(f"dramatiq:default{kind}.msgs") for kind in ("", ".DQ"))


def test_success_is_acknowledged_after_its_truth(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    start_worker()
    until(lambda: empty(client))
    assert scene.row(message.message_id)["outcome"] == "succeeded"
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]


def test_a_delay_is_one_run_through_two_queues(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send_with_options(delay=200)
    first = scene.row(message.message_id)["message_ref"]
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"], row["dispatch"]) == ("succeeded", 1, 1)
    assert row["message_ref"] != first
    until(lambda: empty(client))


def test_a_failure_that_will_be_retried_is_no_end(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        if current_run().attempt == 1:
            raise ValueError

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["retries"], row["dispatch"]) == ("succeeded", 1, 2)
    until(lambda: empty(client))
    assert client.zcard(XQ) == 0


@pytest.mark.parametrize(
    ("options", "reason", "attempts"),
    [({}, "retries_exhausted", 3), ({"throws": ValueError}, "not_retryable", 1)],
    ids=["exhausted", "throws"],
)
def test_retries_exhausted_or_thrown_through_is_failed_and_dead_lettered(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    client: redis.Redis,
    options: dict[str, Any],
    reason: str,
    attempts: int,
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker, **options)
    def build() -> None:
        raise ValueError

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"], row["attempt"]) == ("failed", reason, attempts)
    assert row["closed_by"] == "bridge"
    until(lambda: client.zcard(XQ) == 1)


def test_an_age_limit_fails_the_run_before_any_attempt(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", max_age=1, broker=broker)
    def build() -> None: ...

    message = build.send()
    until(lambda: time.time() * 1000 > message.message_timestamp + 20)
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["reason"], row["attempt"], row["holder"]) == ("age_limit_exceeded", 0, None)
    until(lambda: client.zcard(XQ) == 1)


class InBefore(Middleware):
    """Does something before each message is processed."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def before_process_message(self, broker: Broker, message: Any) -> None:
        """Do it."""
        self.act(message)


def failing(message: Any) -> None:
    message.fail()
    raise SkipMessage


def skipping(message: Any) -> None:
    raise SkipMessage


@pytest.mark.parametrize(
    ("act", "dead_letters"), [(failing, 1), (skipping, 0)], ids=["failed", "not failed"]
)
def test_a_skip_by_another_middleware_is_a_rejection_failed_or_not(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    client: redis.Redis,
    act: Any,
    dead_letters: int,
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    broker.middleware.insert(1, InBefore(act))
    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "rejected")
    until(lambda: empty(client))
    assert client.zcard(XQ) == dead_letters


def failing_quietly(message: Any) -> None:
    message.fail()


def test_a_message_that_is_failed_without_an_exception_did_not_succeed(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    broker.add_middleware(InBefore(failing_quietly), before=Retries)
    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "rejected")
    assert calls == []
    until(lambda: client.zcard(XQ) == 1)


def refusing(message: Any) -> None:
    raise MiddlewareError("not today")


def test_another_error_of_a_middleware_is_retried_and_then_the_end(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    broker.add_middleware(InBefore(refusing), before=Retries)
    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "retries_exhausted")
    assert calls == []


def breaking(message: Any) -> None:
    raise RuntimeError("a bug in a hook")


def test_a_plain_exception_in_a_hook_is_swallowed_by_dramatiq_and_the_run_is_tracked(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        current_run().progress(processed=1)

    broker.middleware.insert(0, InBefore(breaking))
    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["summary_counts"]) == ("succeeded", '{"processed": 1}')


def test_an_unknown_actor_fails_its_run_though_no_hook_of_processing_is_called(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    del broker.actors["build"]
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["reason"], row["attempt"]) == ("unknown_actor", 0)
    until(lambda: client.zcard(XQ) == 1)


def test_an_undecodable_message_fails_its_run_though_dramatiq_calls_no_hook_at_all(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    sent = [build.send() for _ in range(10)]
    damaged = sent[3]
    client.hset("dramatiq:default.msgs", damaged.options["redis_message_id"], b"\xff no JSON")
    start_worker()
    row = scene.completed(damaged.message_id)
    assert (row["outcome"], row["reason"]) == ("failed", "undecodable_message")
    # Dramatiq's own consumer drops the rest of the batch with it.
    for message in sent:
        if message is not damaged:
            assert scene.completed(message.message_id)["outcome"] == "succeeded"
    until(lambda: client.zcard(XQ) == 1)
    assert counter(scene, "refused_deliveries", "undecodable_message") == 1


def test_a_graceful_stop_gives_prefetched_runs_back_uncharged_and_calls_no_hook(
    broker: Broker, scene: Scene, start_worker: StartWorker, client: redis.Redis
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(10)

    sent = [build.send() for _ in range(4)]
    worker = start_worker()
    assert begun.wait(10)
    held = until(lambda: rows if len(rows := holders(scene)) == 2 else None, what="two in hand")
    stopping = threading.Thread(target=worker.stop, kwargs={"timeout": 10_000})
    stopping.start()
    go_on.set()
    stopping.join()
    for run_id in held:
        row = scene.row(run_id)
        assert (row["status"], row["holder"], row["probation"]) == ("queued", None, 0)
    # Back on the queue itself: the next worker need not wait for anybody's silence.
    assert client.llen("dramatiq:default") == 2
    start_worker()
    for message in sent:
        assert scene.completed(message.message_id)["attempt"] == 1


def holders(scene: Scene) -> list[str]:
    with scene.ledger.session():
        rows = scene.ledger.execute(
            "SELECT id FROM lastword_run WHERE holder IS NOT NULL AND status = 'queued'"
        )
    return [row["id"] for row in rows]
