"""What Redis strands or steals: dead and silent workers, lost replies, broken connections."""

from __future__ import annotations

import threading
import time
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_middleware import reclaiming
from lastword_middleware.broker import worker_broker
from lastword_middleware.installing import install
from lastword_scheduler.timetable import generic_reconciler
from lastword_scheduler.verdicts import Action
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def build(broker: Broker) -> dramatiq.Actor[[], None]:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    return build


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaiming, "RECLAIM_EVERY_S", 0.1)


def test_messages_of_a_dead_worker_are_back_within_a_sweep(
    broker: Broker,
    build: dramatiq.Actor[[], None],
    scene: Scene,
    config: Config,
    sqlite_ledger: Ledger,
    client: redis.Redis,
    start_worker: StartWorker,
) -> None:
    # Fetched, reserved, and then its worker is gone: Dramatiq waits for silence and a roll of dice.
    message = build.send()
    dead = worker_broker(config)
    application = install(dead, config=config)
    dramatiq.actor(lambda: None, actor_name="build", operation="report.build", broker=dead)  # type: ignore[call-overload]
    tracker = tracker_of(dead)
    tracker.boot(threads=1, broker_id=dead.broker_id)  # type: ignore[attr-defined]
    consumer = dead.consume("default", prefetch=10, timeout=10)
    assert until(lambda: next(consumer)).message_id == message.message_id
    assert scene.row(message.message_id)["holder"] == tracker.worker_id
    assert tracker.worker_id is not None
    tracker.workers.lose(tracker.worker_id, cause={"signal": "SIGKILL"})
    scene.backdate(message.message_id, "sent_at", 10)
    reconciler = generic_reconciler(config, sqlite_ledger)
    assert dict(reconciler.sweep().acted) == {Action.RELEASE: 1}
    start_worker()
    row = scene.completed(message.message_id)
    # Only prefetched: no delivery is charged, and its start was recorded before it was executed.
    assert (row["outcome"], row["attempt"], row["lost_deliveries"]) == ("succeeded", 1, 0)
    assert row["probation"] == 1
    assert tracker.writer is not None
    tracker.writer.stop(within_s=5)
    application.ledger.close()
    tracker.ledger.close()
    dead.client.close()  # type: ignore[attr-defined]


def test_a_worker_that_is_full_to_the_brim_stays_alive_to_redis(
    broker: Broker, scene: Scene, client: redis.Redis, start_worker: StartWorker
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        begun.set()
        go_on.wait(10)

    for _ in range(8):
        build.send()
    start_worker()
    assert begun.wait(10)
    name = broker.broker_id  # type: ignore[attr-defined]

    def beat() -> float:
        return client.zscore("dramatiq:__heartbeats__", name) or 0.0

    first = until(beat)
    # Its prefetch is full and it sends no command, as long as the jobs take.
    later = until(lambda: seen if (seen := beat()) > first + 300 else None)
    assert later <= time.time() * 1000 + 1000
    go_on.set()


@pytest.mark.usefixtures("looks_often")
def test_delayed_messages_survive_a_connection_that_breaks(
    broker: Broker,
    build: dramatiq.Actor[[], None],
    scene: Scene,
    client: redis.Redis,
    start_worker: StartWorker,
) -> None:
    # Dramatiq drops what it holds in memory and goes on beating: stuck until that process dies.
    sent = [build.send_with_options(delay=1500) for _ in range(5)]
    worker = start_worker()
    until(lambda: worker.consumers["default.DQ"].delay_queue.qsize() == 5)
    for connection in client.client_list():
        if int(connection["id"]) != client.client_id():
            client.client_kill_filter(_id=connection["id"])
    for message in sent:
        row = scene.completed(message.message_id)
        assert (row["outcome"], row["attempt"]) == ("succeeded", 1)


@pytest.mark.parametrize("error", [redis.TimeoutError, redis.exceptions.ReadOnlyError])
def test_a_consumer_thread_outlives_every_error_of_the_client(
    broker: Broker,
    build: dramatiq.Actor[[], None],
    scene: Scene,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    error: type[redis.RedisError],
) -> None:
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.1)
    worker = start_worker()
    raised = threading.Event()
    fetch = broker._dispatch("fetch")  # type: ignore[attr-defined]

    def failing(queue_name: str, *arguments: Any) -> Any:
        if queue_name == "default" and not raised.is_set():
            raised.set()
            raise error("as in a failover")
        return fetch(queue_name, *arguments)

    broker.do_fetch = failing  # type: ignore[attr-defined]
    assert raised.wait(10)
    message = build.send()
    assert scene.completed(message.message_id)["outcome"] == "succeeded"
    assert all(consumer.is_alive() for consumer in worker.consumers.values())


@pytest.mark.usefixtures("looks_often")
def test_messages_whose_fetch_was_executed_and_its_reply_lost_are_reclaimed(
    broker: Broker,
    build: dramatiq.Actor[[], None],
    scene: Scene,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.1)
    sent = [build.send() for _ in range(3)]
    lost = threading.Event()
    fetch = broker._dispatch("fetch")  # type: ignore[attr-defined]

    def losing(queue_name: str, *arguments: Any) -> Any:
        reply = fetch(queue_name, *arguments)
        if queue_name == "default" and reply and not lost.is_set():
            lost.set()
            raise redis.TimeoutError("the reply was lost")
        return reply

    broker.do_fetch = losing  # type: ignore[attr-defined]
    start_worker()
    assert lost.wait(10)
    for message in sent:
        row = scene.completed(message.message_id)
        assert (row["outcome"], row["attempt"]) == ("succeeded", 1)


def test_an_enqueue_whose_answer_was_lost_is_unknown_and_the_run_is_done_once(
    broker: Broker,
    build: dramatiq.Actor[[], None],
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    enqueue = broker._dispatch("enqueue")  # type: ignore[attr-defined]

    def deaf(*arguments: Any) -> None:
        enqueue(*arguments)
        raise redis.TimeoutError("no answer in 5 s")

    broker.do_enqueue = deaf  # type: ignore[attr-defined]
    with pytest.raises(redis.TimeoutError):
        build.send()
    del broker.do_enqueue  # type: ignore[attr-defined]
    with scene.ledger.session():
        [run] = scene.ledger.execute("SELECT id FROM lastword_run")
    scene.backdate(run["id"], "sent_at", 10)
    # It arrived: nothing is to be done. Had it not, it would be sent again.
    assert dict(generic_reconciler(config, sqlite_ledger).sweep().acted) == {}
    start_worker()
    assert scene.completed(run["id"])["attempt"] == 1


def test_a_message_that_redis_has_twice_is_executed_once(
    broker: Broker,
    scene: Scene,
    client: redis.Redis,
    start_worker: StartWorker,
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)

    message = build.send()
    # As a client does that repeats an enqueue by itself: the same message under two ids.
    broker.enqueue(message)
    assert client.llen("dramatiq:default") == 2
    start_worker()
    assert scene.completed(message.message_id)["attempt"] == 1
    until(lambda: client.hlen("dramatiq:default.msgs") == 0)
    assert calls == [1]


def test_a_run_in_a_live_workers_hands_is_not_sent_again_when_redis_is_emptied(
    broker: Broker,
    scene: Scene,
    client: redis.Redis,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(1)
        begun.set()
        go_on.wait(10)

    sent = [build.send() for _ in range(4)]
    start_worker()
    assert begun.wait(10)
    until(lambda: sum(bool(scene.row(item.message_id)["holder"]) for item in sent) == 2)
    client.flushall()
    for message in sent:
        scene.backdate(message.message_id, "sent_at", 10)
    assert dict(generic_reconciler(config, sqlite_ledger).sweep().acted) == {}
    go_on.set()
    for message in sent:
        assert scene.completed(message.message_id)["attempt"] == 1
    assert len(calls) == 4
