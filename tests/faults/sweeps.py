"""Every sweep of the scheduler in a story of its own: what it finds, and what it leaves."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import redis

from lastword.identity import RunId, WorkerId
from lastword.service.workers import NewWorker
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword.storage.measures import read_measures
from lastword_jobs.backups import (
    BackupSet,
    Restore,
    begin_backup_set,
    begin_restore,
    end_record,
    preview_restore,
)
from lastword_jobs.reconcilers import RestoreReconciler
from lastword_scheduler.contact import Contact
from lastword_scheduler.reports import SweepReport
from lastword_scheduler.rescue import BrokerRescue
from lastword_scheduler.retention import Folding, Retention
from lastword_scheduler.typed import TypedReconciler
from tests.support import Scene, policy

TENANT = "contoso"
RESTORE = policy("restore.execute", on_worker_lost="fail", reconcilers=["generic", "adapter"])

HOUR_S = 3600.0


@dataclass
class Ground:
    """A ledger and a Redis, seen from outside, and the same with calls that can be broken."""

    scene: Scene
    client: redis.Redis
    breakable: Ledger
    breakable_client: redis.Redis
    run_ids: dict[int, tuple[RunId, ...]] = field(default_factory=dict)

    def rescue(self) -> BrokerRescue:
        """The one that can be broken."""
        return BrokerRescue(
            self.breakable,
            self.breakable_client,
            "dramatiq",
            silent_after_ms=60_000,
            dead_letter_ttl_ms=1000,
            contact=Contact(lease_ttl_s=0.0),
        )

    def rows(self, number: int, *columns: str) -> list[list[Any]]:
        """What became of the runs of one telling."""
        rows = [self.scene.row(run_id) for run_id in self.run_ids[number]]
        return [[row[column] for column in columns] for row in rows]


@dataclass(frozen=True, slots=True)
class Story:
    """One sweep.

    Attributes:
        prepare: what it will find; numbered, so that each telling finds something new.
        sweep: it, once.
        told: what one telling has left.
        expected: what that must be, however often it was broken.
    """

    prepare: Callable[[Ground, int], None]
    sweep: Callable[[Ground], SweepReport]
    told: Callable[[Ground, int], object]
    expected: object


def sweeps_in(modules: Iterable[ModuleType]) -> set[str]:
    """Every method of a class there that reports a sweep, as `Class.method`."""
    return {
        f"{kind.__name__}.{name}"
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
        and inspect.signature(method).return_annotation in (SweepReport, SweepReport.__name__)
    }


def _a_dead_worker_that_held_messages(ground: Ground, number: int) -> None:
    worker_id, broker_id = WorkerId(f"worker-{number}"), f"dead-{number}"
    queues = ("default", "default.DQ")
    worker = NewWorker(worker_id, "host", 1, "1", 8, broker_id, queues=queues)
    ground.scene.workers.boot(worker, lease_ttl_s=60.0)
    client, now_ms = ground.client, time.time() * 1000
    for queue, refs in {"default": ("a", "b", "done"), "default.DQ": ("c",)}.items():
        for ref in refs:
            client.hset(f"dramatiq:{queue}.msgs", f"{ref}-{number}", "{}")
            client.sadd(f"dramatiq:__acks__.{broker_id}.{queue}", f"{ref}-{number}")
    client.hdel("dramatiq:default.msgs", f"done-{number}")
    client.zadd("dramatiq:__heartbeats__", {broker_id: now_ms})
    ground.scene.workers.lose(worker_id, cause={})
    waited_for = f"waited-for-{number}"
    ground.scene.accept(message_queue="default", message_ref=waited_for)
    for ref in (waited_for, f"old-{number}"):
        client.zadd("dramatiq:default.XQ", {ref: now_ms - 5000})
        client.hset("dramatiq:default.XQ.msgs", ref, "{}")


def _left_by_the_rescue(ground: Ground, number: int) -> object:
    client: Any = ground.client
    end = f"-{number}".encode()
    unrescued = [row["id"] for row in ground.scene.workers.unrescued()]
    return {
        "waiting": sorted(
            ref.removesuffix(end)
            for queue in ("default", "default.DQ")
            for ref in client.lrange(f"dramatiq:{queue}", 0, -1)
            if ref.endswith(end)
        ),
        "held": list(client.scan_iter(match=f"dramatiq:__acks__.dead{end.decode()}.*")),
        "known": client.zscore("dramatiq:__heartbeats__", f"dead-{number}"),
        "unrescued": f"worker-{number}" in unrescued,
        "buried": sorted(
            ref.removesuffix(end)
            for ref in client.hkeys("dramatiq:default.XQ.msgs")
            if ref.endswith(end)
        ),
    }


def _processes_of_long_ago(ground: Ground, number: int) -> None:
    for name, age_s in {"gone": 25 * HOUR_S, "holds": 25 * HOUR_S, "young": HOUR_S}.items():
        seen_ms = (time.time() - age_s) * 1000
        ground.client.zadd("dramatiq:__heartbeats__", {f"{name}-{number}": seen_ms})
    ground.client.sadd(f"dramatiq:__acks__.holds-{number}.default", "a")


def _still_known(ground: Ground, number: int) -> object:
    names: Any = ground.client.zrange("dramatiq:__heartbeats__", 0, -1)
    end = f"-{number}".encode()
    return {name.removesuffix(end) for name in names if name.endswith(end)}


def _restores(ground: Ground, number: int) -> None:
    scene, worker_id = ground.scene, ground.scene.worker()
    run_ids = []
    for is_ended in (True, False):
        run_id = scene.accept(policy=RESTORE, tenant_id=TENANT)
        backup = begin_backup_set(scene.ledger, run_id=RunId("earlier"), tenant_id=TENANT)
        restore = preview_restore(scene.ledger, tenant_id=TENANT, backup_set_id=backup)
        end_record(scene.ledger, BackupSet, backup, Outcome.SUCCEEDED)
        scene.claim(run_id, worker_id)
        assert begin_restore(scene.ledger, restore, run_id=run_id)
        if is_ended:
            end_record(scene.ledger, Restore, restore, Outcome.SUCCEEDED)
        run_ids.append(run_id)
    ground.run_ids[number] = tuple(run_ids)


def _agreeing(ground: Ground, number: int) -> object:
    ends = [
        sum(bool(event["terminal"]) for event in ground.scene.events(run_id))
        for run_id in ground.run_ids[number]
    ]
    return ground.rows(number, "status", "outcome", "closed_by"), ends


def _measured(ground: Ground, number: int) -> None:
    for value in (1, 2):
        with ground.scene.ledger.transaction():
            ground.scene.ledger.measure("told", (str(number),), value)


def _added_up(ground: Ground, number: int) -> object:
    ledger = ground.scene.ledger
    with ledger.session():
        [left] = ledger.execute("SELECT COUNT(*) AS apart FROM lastword_measured")
    return read_measures(ledger)["told", (str(number),)], left["apart"]


def _old_history(ground: Ground, number: int) -> None:
    old, young = ground.scene.accept(), ground.scene.accept()
    ground.scene.runs.cancel([old, young], by="ada")
    ground.scene.backdate(old, "completed_at", 2 * HOUR_S)
    ground.run_ids[number] = (old, young)


def _history(ground: Ground, number: int) -> object:
    ledger = ground.scene.ledger
    with ledger.session():
        rows = ledger.execute("SELECT id FROM lastword_run")
        told = ledger.execute("SELECT DISTINCT run_id FROM lastword_event")
    kept, named = {row["id"] for row in rows}, {row["run_id"] for row in told}
    return [(run_id in kept, run_id in named) for run_id in ground.run_ids[number]]


STORIES = {
    "BrokerRescue.sweep": Story(
        _a_dead_worker_that_held_messages,
        lambda ground: ground.rescue().sweep(),
        _left_by_the_rescue,
        {
            "waiting": [b"a", b"b", b"c"],
            "held": [],
            "known": None,
            "unrescued": False,
            "buried": [b"waited-for"],
        },
    ),
    "BrokerRescue.forget": Story(
        _processes_of_long_ago,
        lambda ground: ground.rescue().forget(),
        _still_known,
        {b"holds", b"young"},
    ),
    "TypedReconciler.sweep": Story(
        _restores,
        lambda ground: TypedReconciler(ground.breakable, RestoreReconciler(), 0.0).sweep(),
        _agreeing,
        ([["completed", "succeeded", "adapter"], ["running", "pending", None]], [1, 0]),
    ),
    "Folding.sweep": Story(
        _measured, lambda ground: Folding(ground.breakable).sweep(), _added_up, (3, 0)
    ),
    "Retention.sweep": Story(
        _old_history,
        lambda ground: Retention(ground.breakable, HOUR_S, 60.0).sweep(),
        _history,
        [(False, False), (True, True)],
    ),
}

#: Those that are broken in `test_every_call`, beside a worker that executes what they send.
ELSEWHERE = {
    "GenericReconciler.sweep": "test_a_sweep_that_breaks_is_made_up_for_by_the_next",
    "SlotKeeper.sweep": "test_a_slot_is_started_once_whatever_broke_as_it_was_noted",
}
