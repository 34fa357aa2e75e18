"""What the scheduler and the workers ask again and again walks no history, on both databases."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from lastword.config import Config, load_config
from lastword.identity import RunId, WorkerId, new_run_id
from lastword.losses import recover_losses
from lastword.reasons import Reason
from lastword.service.pruning import prune
from lastword.service.scheduling import NewSchedule, ScheduleService
from lastword.service.values import AttemptEnd, Delivery
from lastword.service.workers import Progress
from lastword.states import Outcome, Source
from lastword.storage.clock import now_ms
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import begin_backup_set
from lastword_scheduler.contact import Contact
from lastword_scheduler.rescue import BrokerRescue
from lastword_scheduler.retention import Folding
from lastword_scheduler.slots import SlotKeeper
from lastword_scheduler.timetable import generic_reconciler, sending_broker
from lastword_scheduler.typed import TypedReconciler
from lastword_scheduler.verdicts import Action
from tests.conformance.history import APART_MS, RUNS
from tests.conformance.planning import recorded, walks
from tests.support import POLICIES, Scene, Silent

SHIPPED = load_config({}).policies


@pytest.fixture
def scene(long_ledger: Ledger) -> Scene:
    return Scene(long_ledger)


@pytest.fixture
def config(history_url: str, redis_url: str, tmp_path: Path) -> Config:
    return Config(
        data_dir=tmp_path,
        database_url=history_url,
        broker_url=redis_url,
        lease_ttl=1.0,
        message_grace=0.0,
        policies={**POLICIES, **SHIPPED},
    )


def busy(scene: Scene, runs: int = 20) -> tuple[WorkerId, list[RunId]]:
    """A worker with runs."""
    worker_id = scene.worker()
    run_ids = [scene.accept(message_queue="default", message_ref=f"r{n}") for n in range(runs)]
    for run_id in run_ids:
        assert scene.claim(run_id, worker_id).refusal is None
    return worker_id, run_ids


def silence(scene: Scene, worker_id: WorkerId) -> None:
    with scene.ledger.transaction():
        scene.ledger.execute(
            f"UPDATE lastword_worker SET lease_until = 1 WHERE id = {scene.ledger.dialect.param}",
            worker_id,
        )


def waiting(scene: Scene, client: redis.Redis, number: int, **fields: str) -> RunId:
    """A run whose message is in its queue."""
    ref = f"waiting-{number}"
    run_id = scene.accept(message_queue="default", message_ref=ref, **fields)
    client.hset("dramatiq:default.msgs", ref, "{}")
    scene.backdate(run_id, "sent_at", 60)
    return run_id


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM lastword_run WHERE reason = 'stale_queued'",
        "SELECT id FROM lastword_run WHERE created_at > 0 ORDER BY created_at, id",
        "SELECT parent.id FROM lastword_run AS parent WHERE parent.actor_name = 'a'",
        "SELECT run_id FROM lastword_event WHERE kind = 'accepted'",
        "UPDATE lastword_attempt SET reason = NULL WHERE worker_id = 'w'",
    ],
)
def test_what_walks_history_is_seen(scene: Scene, query: str) -> None:
    assert walks(scene.ledger, [(query, ())])


def test_a_sweep_of_the_generic_reconciler_walks_no_history(scene: Scene, config: Config) -> None:
    client = redis.Redis.from_url(config.broker_url)
    contact = Contact(0.0)
    alive, abandoned = busy(scene)
    scene.disclaim(alive)
    scene.backdate(abandoned[0], "claimed_at", 100)
    gone, _ = busy(scene)
    silence(scene, gone)
    for number in range(20):
        run_id = waiting(scene, client, number)
        scene.backdate(run_id, "stale_at", 100)
    for _ in range(20):
        scene.backdate(scene.accept(message_queue="default", message_ref="x"), "sent_at", 60)
    held = waiting(scene, client, 100)
    client.zadd("dramatiq:__heartbeats__", {"stranger": 1})
    client.sadd("dramatiq:__acks__.stranger.default", "waiting-100")
    assert scene.row(held)["status"] == "queued"
    with recorded() as statements:
        report = generic_reconciler(config, scene.ledger, contact=contact).sweep()
    assert report.lost_workers
    assert {Action.PUT_OFF, Action.REDISPATCH} <= set(report.acted)
    assert walks(scene.ledger, statements) == []


def test_a_sweep_that_ends_runs_walks_no_history(scene: Scene, config: Config) -> None:
    contact = Contact(0.0)
    gone = scene.worker()
    once = [scene.accept(policy=POLICIES["report.once"]) for _ in range(5)]
    asked = scene.accept()
    for run_id in (*once, asked):
        scene.claim(run_id, gone)
    scene.runs.cancel([asked], by="Ada")
    silence(scene, gone)
    late = scene.accept(message_queue="default", message_ref="y")
    scene.backdate(late, "wait_until", 10_000)
    scene.backdate(late, "sent_at", 60)
    with recorded() as statements:
        report = generic_reconciler(config, scene.ledger, contact=contact).sweep()
    assert report.acted[Action.CLOSE] >= 6
    assert walks(scene.ledger, statements) == []


def test_sweeps_of_the_type_specific_reconcilers_walk_no_history(
    scene: Scene, config: Config
) -> None:
    worker_id = scene.worker()
    for number in range(5):
        run_id = scene.accept(
            policy=SHIPPED["backup_schedule_run"],
            tenant_id="n1",
            context={"schedule_id": "s", "slot": f"2026-01-0{number + 1}T00:00:00+00:00"},
        )
        begin_backup_set(scene.ledger, run_id=run_id, tenant_id="n1")
        if number % 2:
            scene.claim(run_id, worker_id)
    restore = scene.accept(policy=SHIPPED["restore.execute"], tenant_id="n1")
    scene.claim(restore, worker_id)
    with recorded() as statements:
        for reconciler in generic_reconciler(config, scene.ledger).typed:
            TypedReconciler(scene.ledger, reconciler, 0.0).sweep()
    assert walks(scene.ledger, statements) == []


def test_the_rescue_of_messages_walks_no_history(scene: Scene, config: Config) -> None:
    broker = sending_broker(config, scene.ledger)
    assert isinstance(broker, RedisBroker)
    run_id = scene.accept(message_queue="default", message_ref="dead")
    broker.client.zadd("dramatiq:default.XQ", {"dead": 1})
    rescue = BrokerRescue(scene.ledger, broker.client, "dramatiq", 1000, 1000, Contact(0.0))
    with recorded() as statements:
        rescue.sweep()
        rescue.forget()
    assert scene.row(run_id)["status"] == "queued"
    assert walks(scene.ledger, statements) == []


def test_slots_and_measures_are_kept_without_walking_history(scene: Scene, config: Config) -> None:
    name = new_run_id()
    slot = NewSchedule(
        id=name,
        name=name,
        operation="report.build",
        workspace_id="north",
        tenant_id="n1",
        initiator_id=None,
        cron="* * * * *",
        timezone="UTC",
        inputs={},
        actor_name="build_report",
        payload="{}",
        identity_hash=name,
        next_at=int(time.time()) // 60 * 60_000,
    )
    assert ScheduleService(scene.ledger).add(slot)
    with recorded() as statements:
        report = SlotKeeper(config, scene.ledger, Silent()).sweep()
        Folding(scene.ledger).sweep()
    assert report.acted["started"] == 1
    assert walks(scene.ledger, statements) == []


def test_heartbeats_walk_no_history(scene: Scene) -> None:
    worker_id, runs = busy(scene)
    scene.runs.cancel([runs[0]], by="Ada")
    with recorded() as statements:
        beat = scene.workers.heartbeat(
            worker_id,
            lease_ttl_s=10,
            working=runs,
            progress=[Progress(run_id, 1, {"processed": 1}) for run_id in runs],
        )
        scene.workers.renew(worker_id, lease_ttl_s=10)
        scene.workers.lose_expired(now_ms(scene.ledger))
    assert beat is not None
    assert (beat.cancel, len(beat.saved), len(beat.current)) == (frozenset({runs[0]}), 20, 20)
    assert walks(scene.ledger, statements) == []


def test_the_life_of_a_run_walks_no_history(scene: Scene) -> None:
    worker_id, name = scene.worker(), new_run_id()
    with recorded() as statements:
        runs = [scene.accept(identity_hash=name) for _ in range(2)]
        others = [scene.accept() for _ in range(3)]
        scene.runs.reserve([Delivery(run_id, 1) for run_id in others], worker_id=worker_id)
        for run_id in (runs[0], *others):
            scene.claim(run_id, worker_id)
        scene.runs.finish(
            [AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED) for run_id in others]
        )
        failed = AttemptEnd(runs[0], 1, worker_id, Outcome.FAILED, Reason.RETRIES_EXHAUSTED)
        scene.runs.fail([failed])
    assert runs[0] == runs[1]
    assert {scene.row(run_id)["status"] for run_id in (*runs, *others)} == {"completed"}
    assert walks(scene.ledger, statements) == []


def test_the_sentinel_finds_what_its_worker_had_without_walking_history(scene: Scene) -> None:
    worker_id, runs = busy(scene)
    with recorded() as statements:
        scene.workers.lose(worker_id, cause={})
        done = recover_losses(
            scene.ledger, Silent(), [worker_id], source=Source.SENTINEL, evidence={}
        )
    assert len(done) == len(runs)
    assert walks(scene.ledger, statements) == []


def test_retention_reads_what_it_removes_and_nothing_else(scene: Scene) -> None:
    with recorded() as statements:
        removed = prune(
            scene.ledger, older_than_s=(RUNS - 10) * APART_MS / 1000, is_enough=lambda: False
        )
    assert 0 < removed["run"] < 1000
    old = frozenset({"lastword_run_completed"})
    assert walks(scene.ledger, statements, but=old) == []
