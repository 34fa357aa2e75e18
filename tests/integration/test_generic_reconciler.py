"""The generic reconciler on a real Redis: what was lost is found, what waits is left alone."""

from __future__ import annotations

from dataclasses import replace

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_middleware.options import DISPATCH
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.timetable import generic_reconciler
from lastword_scheduler.verdicts import Action
from tests.support import Scene, policy, until
from tests.workers import StartWorker


@pytest.fixture
def reconciler(config: Config, sqlite_ledger: Ledger) -> GenericReconciler:
    return generic_reconciler(config, sqlite_ledger)


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def build(broker: Broker) -> dramatiq.Actor[[], None]:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    return build


def sent(build: dramatiq.Actor[[], None], scene: Scene) -> str:
    """A run whose message was sent long enough ago to be looked for."""
    run_id = build.send().message_id
    scene.backdate(run_id, "sent_at", 10)
    return run_id


def test_a_backlog_is_left_alone(
    build: dramatiq.Actor[[], None], scene: Scene, reconciler: GenericReconciler
) -> None:
    runs = [sent(build, scene) for _ in range(20)]
    report = reconciler.sweep()
    assert (report.found, dict(report.acted)) == (20, {})
    for run_id in runs:
        scene.backdate(run_id, "stale_at", 100)
    report = reconciler.sweep()
    assert dict(report.acted) == {Action.PUT_OFF: 20}
    assert {scene.row(run_id)["dispatch"] for run_id in runs} == {1}


def test_runs_of_an_emptied_broker_are_sent_again_and_each_done_once(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
    start_worker: StartWorker,
) -> None:
    runs = [sent(build, scene) for _ in range(50)]
    client.flushall()
    assert dict(reconciler.sweep().acted) == {Action.REDISPATCH: 50}
    assert dict(reconciler.sweep().acted) == {}
    start_worker()
    for run_id in runs:
        assert scene.completed(run_id)["outcome"] == "succeeded"
        assert scene.kinds(run_id) == ["accepted", "redispatched", "claimed", "completed"]


def test_an_old_message_that_turns_up_again_is_fenced(
    build: dramatiq.Actor[[], None],
    broker: Broker,
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
    start_worker: StartWorker,
) -> None:
    message = build.send()
    scene.backdate(message.message_id, "sent_at", 10)
    client.flushall()
    reconciler.sweep()
    broker.enqueue(message.copy(options={DISPATCH: 1}))
    start_worker()
    assert scene.completed(message.message_id)["attempt"] == 1
    broker.join("default", timeout=10_000)
    assert scene.kinds(message.message_id).count("claimed") == 1


def test_a_message_still_on_its_way_is_not_called_lost(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    run_id = build.send().message_id
    client.flushall()
    assert reconciler.sweep().found == 0
    assert scene.row(run_id)["dispatch"] == 1


def test_a_delayed_run_of_an_emptied_broker_keeps_its_delay(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    run_id = build.send_with_options(delay=60_000).message_id
    scene.backdate(run_id, "sent_at", 10)
    client.flushall()
    assert dict(reconciler.sweep().acted) == {Action.REDISPATCH: 1}
    row = scene.row(run_id)
    assert row["message_queue"] == "default.DQ"
    assert client.hexists("dramatiq:default.DQ.msgs", row["message_ref"])


def test_messages_that_a_dead_worker_had_fetched_are_given_back(
    build: dramatiq.Actor[[], None],
    broker: Broker,
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    run_id = sent(build, scene)
    worker_id = scene.worker()
    with scene.ledger.transaction():
        scene.ledger.execute(
            "UPDATE lastword_worker SET broker_id = ? WHERE id = ?",
            broker.broker_id,  # type: ignore[attr-defined]
            worker_id,
        )
    broker.do_fetch("default", 10)  # type: ignore[attr-defined]
    assert client.llen("dramatiq:default") == 0
    assert dict(reconciler.sweep().acted) == {}
    scene.workers.end(worker_id)
    assert dict(reconciler.sweep().acted) == {Action.RELEASE: 1}
    assert client.lrange("dramatiq:default", 0, -1) == [scene.row(run_id)["message_ref"].encode()]
    assert dict(reconciler.sweep().acted) == {}


def test_a_dead_letter_that_nobody_reported_ends_its_run(
    build: dramatiq.Actor[[], None], broker: Broker, scene: Scene, reconciler: GenericReconciler
) -> None:
    run_id = sent(build, scene)
    broker.do_fetch("default", 10)  # type: ignore[attr-defined]
    broker.do_nack("default", scene.row(run_id)["message_ref"])  # type: ignore[attr-defined]
    reconciler.sweep()
    assert scene.row(run_id)["reason"] == "message_dead_lettered"


def test_a_run_that_never_reached_the_broker_is_sent_from_the_ledger(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    start_worker: StartWorker,
) -> None:
    # As after a crash between the commit and the enqueue.
    message = build.message()
    run_id = scene.accept(
        run_id=message.message_id,
        actor_name="build",
        payload=message.copy(options={DISPATCH: 1}).encode().decode(),
    )
    scene.backdate(run_id, "sent_at", 10)
    reconciler.sweep()
    start_worker()
    assert scene.completed(run_id)["outcome"] == "succeeded"


def test_a_run_of_an_operation_without_code_here_is_healed_too(
    scene: Scene, reconciler: GenericReconciler
) -> None:
    run_id = scene.accept()
    scene.claim(run_id, scene.worker(lease_ttl_s=60))
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
        scene.ledger.execute("UPDATE lastword_run SET lost_deliveries = 2")
    report = replace(reconciler, contact=Contact(0)).sweep()
    assert report.lost_workers == 1
    assert (scene.row(run_id)["outcome"], scene.row(run_id)["reason"]) == (
        "failed",
        "too_many_deliveries",
    )


def test_one_run_that_cannot_be_judged_does_not_stop_the_others(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    poisoned, healthy = sent(build, scene), sent(build, scene)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_run SET payload = 'not json' WHERE id = ?", poisoned)
    client.flushall()
    reconciler.sweep()
    assert client.llen("dramatiq:default") == 1
    assert scene.row(healthy)["message_ref"] is not None


def test_a_policy_that_cannot_be_read_does_not_stop_the_others(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    strange = scene.accept(policy=policy("report.later"), message_queue="default")
    scene.backdate(strange, "sent_at", 10)
    with scene.ledger.transaction():
        scene.ledger.execute(
            "UPDATE lastword_policy SET document = replace(document, 'redispatch', 'divide') "
            "WHERE operation = 'report.later'"
        )
    healthy = sent(build, scene)
    client.flushall()
    assert dict(reconciler.sweep().acted) == {Action.REDISPATCH: 1}
    assert scene.row(healthy)["dispatch"] == 2


def test_a_broker_that_is_down_makes_no_run_lost(
    build: dramatiq.Actor[[], None], scene: Scene, config: Config, sqlite_ledger: Ledger
) -> None:
    run_id = sent(build, scene)
    scene.backdate(run_id, "stale_at", 100)
    away = generic_reconciler(replace(config, broker_url="redis://127.0.0.1:1/0"), sqlite_ledger)
    assert dict(away.sweep().acted) == {}
    assert scene.row(run_id)["status"] == "queued"


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    run_id = sent(build, scene)
    client.flushall()
    [[decision]] = list(reconciler.decisions())
    assert (decision.action, decision.reason) == (Action.REDISPATCH, "message_lost")
    assert decision.evidence == {"message": {"state": "gone"}}
    assert scene.row(run_id)["dispatch"] == 1


def test_two_reconcilers_at_once_do_no_harm(
    build: dramatiq.Actor[[], None],
    scene: Scene,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    import threading

    runs = [sent(build, scene) for _ in range(30)]
    client.flushall()

    def sweep() -> None:
        reconciler.sweep()
        reconciler.ledger.leave_thread()

    threads = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: client.llen("dramatiq:default") == 30)
    assert {scene.row(run_id)["dispatch"] for run_id in runs} == {2}


def test_without_a_bridge_a_failure_is_found_by_the_reconciler(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    reconciler: GenericReconciler,
    client: redis.Redis,
) -> None:
    @dramatiq.actor(operation="report.indirect", broker=broker)
    def build() -> None:
        raise ValueError("it broke")

    message = build.send()
    start_worker()
    until(lambda: client.zcard("dramatiq:default.XQ") == 1, what="the queue to give it up")
    # Nothing makes the dead letter wait for the group in which the start is recorded.
    until(lambda: scene.row(message.message_id)["status"] == "running")
    until(lambda: reconciler.sweep().acted)
    # Its policy repeats what a worker lost, and that is all that can be seen from outside.
    row = scene.row(message.message_id)
    assert (row["status"], row["lost_deliveries"]) == ("queued", 1)
    assert scene.events(message.message_id)[-1]["reason"] == "attempt_abandoned"
