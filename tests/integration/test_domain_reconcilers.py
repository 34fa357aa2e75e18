"""Backups and restores beside their runs: the record's own end wins, and both come to agree."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from lastword.config import Config
from lastword.domains import required_reconcilers
from lastword.errors import ConfigError
from lastword.identity import RunId, WorkerId
from lastword.losses import recover_losses
from lastword.reading.scheduler import list_slots
from lastword.reasons import Reason
from lastword.service.requests import NewRun
from lastword.service.scheduling import NewSchedule, ScheduleService
from lastword.service.tenants import add_tenant
from lastword.states import Outcome, Source
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import (
    BackupSet,
    Restore,
    begin_backup_set,
    begin_restore,
    end_record,
    preview_restore,
)
from lastword_jobs.reconcilers import BackupReconciler, RestoreReconciler
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.probe import MessageState
from lastword_scheduler.typed import TypedReconciler
from tests.faults.broker import AnyBroker
from tests.support import Scene, policy

TENANT = "contoso"
RESTORE = policy("restore.execute", on_worker_lost="fail", reconcilers=["generic", "adapter"])
BACKUP = policy("backup_schedule_run", reconcilers=["generic", "backup_schedule"])


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    add_tenant(ledger, tenant_id=TENANT, name="Contoso")
    return Scene(ledger)


@pytest.fixture
def generic(ledger: Ledger) -> GenericReconciler:
    contact, broker = Contact(0.0), AnyBroker(MessageState.READY)
    return GenericReconciler(
        Config(message_grace=0.0),
        ledger,
        broker,
        broker,
        contact,
        typed=[RestoreReconciler(), BackupReconciler()],
    )


def typed(ledger: Ledger, reconciler: Any, grace_s: float = 0.0) -> TypedReconciler:
    return TypedReconciler(ledger, reconciler, grace_s)


def restoring(scene: Scene) -> tuple[RunId, WorkerId, str]:
    """A run in the middle of a restore, its worker, and the restore."""
    run_id, worker_id = scene.accept(policy=RESTORE, tenant_id=TENANT), scene.worker()
    backup = begin_backup_set(scene.ledger, run_id=RunId("earlier"), tenant_id=TENANT)
    restore = preview_restore(scene.ledger, tenant_id=TENANT, backup_set_id=backup)
    end_record(scene.ledger, BackupSet, backup, Outcome.SUCCEEDED)
    scene.claim(run_id, worker_id)
    assert begin_restore(scene.ledger, restore, run_id=run_id)
    return run_id, worker_id, restore


def record(ledger: Ledger, table: str, record_id: str) -> dict[str, Any]:
    with ledger.session():
        [row] = ledger.execute(
            f"SELECT * FROM lastword_jobs_{table} WHERE id = {ledger.dialect.param}", record_id
        )
    return row


def test_a_restore_that_finished_before_its_worker_died_has_succeeded(
    scene: Scene, generic: GenericReconciler
) -> None:
    run_id, worker_id, restore = restoring(scene)
    counts = {"processed": 3, "created": 3}
    assert end_record(scene.ledger, Restore, restore, Outcome.SUCCEEDED, counts=counts)
    scene.workers.lose(worker_id, cause={"signal": "SIGKILL"})
    # Its policy says that a lost worker is a failure; the record knows better.
    sentinel = recover_losses(
        scene.ledger, AnyBroker(), [worker_id], source=Source.SENTINEL, evidence={}
    )
    assert sentinel == {}
    assert not generic.sweep().acted
    [decision] = [item for page in generic.decisions() for item in page]
    assert decision.evidence["ended_by"] == "adapter"
    assert typed(scene.ledger, RestoreReconciler()).sweep().acted == {"conclude": 1}
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"], row["closed_by"]) == ("succeeded", None, "adapter")
    assert json.loads(row["summary_counts"]) == counts
    told = json.loads(row["reconciliation"])
    assert told["reason"] == "adapter_out_of_sync"
    assert told["evidence"]["record"]["id"] == restore
    assert sum(bool(event["terminal"]) for event in scene.events(run_id)) == 1


def test_a_restore_that_is_unfinished_is_failed_with_its_lost_worker_and_its_record_too(
    scene: Scene, generic: GenericReconciler
) -> None:
    run_id, worker_id, restore = restoring(scene)
    scene.workers.lose(worker_id, cause={})
    assert not typed(scene.ledger, RestoreReconciler()).sweep().acted
    assert generic.sweep().acted == {"close": 1}
    assert scene.row(run_id)["reason"] == "worker_lost"
    assert typed(scene.ledger, RestoreReconciler()).sweep().acted == {"records_ended": 1}
    kept = record(scene.ledger, "restore", restore)
    assert (kept["status"], kept["reason"]) == ("failed", "worker_lost")
    assert not typed(scene.ledger, RestoreReconciler()).sweep().acted


def test_a_restore_run_without_a_record_is_left_to_the_limits_of_its_policy(
    scene: Scene, generic: GenericReconciler
) -> None:
    run_id, worker_id = scene.accept(policy=RESTORE, tenant_id=TENANT), scene.worker()
    scene.claim(run_id, worker_id)
    assert not typed(scene.ledger, RestoreReconciler()).sweep().acted
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id])
    scene.backdate(run_id, "stale_at", 9000)
    assert generic.sweep().acted == {"close": 1}
    assert scene.row(run_id)["reason"] == "stale_running"


def test_a_worker_that_has_just_written_the_record_is_given_time_to_say_so(scene: Scene) -> None:
    run_id, _, restore = restoring(scene)
    end_record(scene.ledger, Restore, restore, Outcome.FAILED, reason=Reason.PERMISSION_DENIED)
    reconciler = typed(scene.ledger, RestoreReconciler(), grace_s=60.0)
    assert not reconciler.sweep().acted
    assert scene.row(run_id)["status"] == "running"
    assert replace(reconciler, grace_s=0.0).sweep().acted == {"conclude": 1}
    assert scene.row(run_id)["reason"] == "permission_denied"


def test_the_end_of_a_record_is_never_changed(scene: Scene) -> None:
    _, _, restore = restoring(scene)
    assert end_record(scene.ledger, Restore, restore, Outcome.SUCCEEDED)
    assert not end_record(scene.ledger, Restore, restore, Outcome.FAILED)
    with pytest.raises(ValueError, match="not registered"):
        end_record(scene.ledger, Restore, restore, Outcome.FAILED, counts={"apples": 1})


def test_reconcilers_at_the_same_instant_leave_one_terminal_event(
    scene: Scene, generic: GenericReconciler
) -> None:
    found: list[tuple[RunId, WorkerId, str]] = [restoring(scene) for _ in range(12)]
    for number, (run_id, worker_id, restore) in enumerate(found):
        if number % 2:
            end_record(scene.ledger, Restore, restore, Outcome.SUCCEEDED)
        scene.workers.lose(worker_id, cause={})
        scene.backdate(run_id, "stale_at", 9000)
    ready = threading.Barrier(4)

    def sweep(work: Any) -> None:
        ready.wait()
        work.sweep()
        scene.ledger.leave_thread()

    adapter = typed(scene.ledger, RestoreReconciler())
    threads = [
        threading.Thread(target=sweep, args=(work,))
        for work in (generic, adapter, generic, adapter)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (run_id, _, _) in enumerate(found):
        row = scene.row(run_id)
        expected = ("succeeded", "adapter") if number % 2 else ("failed", "generic")
        assert (row["outcome"], row["closed_by"]) == expected
        assert sum(bool(event["terminal"]) for event in scene.events(run_id)) == 1


def slot_run(scene: Scene, slot_at: int) -> tuple[NewRun, str]:
    """A schedule, and the run that its slot was started with."""
    service = ScheduleService(scene.ledger)
    service.add(
        NewSchedule(
            "id-nightly",
            "nightly",
            BACKUP.operation,
            "* * * * *",
            "UTC",
            "backup",
            "{}",
            "hash",
            next_at=1,
            inputs={},
        )
    )
    context = {"schedule_id": "id-nightly", "slot": "1970-01-01T00:01:00.000Z"}
    run = NewRun(RunId("slot-run"), BACKUP, "backup", "{}", context=context, tenant_id=TENANT)
    service.keep(service.due()[0], missed=[], slot_at=slot_at, run=run, next_at=2 * slot_at)
    return run, context["slot"]


def test_a_second_run_for_the_slot_of_another_is_blocked_before_it_does_anything(
    scene: Scene,
) -> None:
    run, slot = slot_run(scene, 60_000)
    other = scene.accept(policy=BACKUP, context={"schedule_id": "id-nightly", "slot": slot})
    later = scene.accept(
        policy=BACKUP, context={"schedule_id": "id-nightly", "slot": "1970-01-01T00:02:00.000Z"}
    )
    assert typed(scene.ledger, BackupReconciler()).sweep().acted == {"conclude": 1}
    row = scene.row(other)
    assert (row["outcome"], row["reason"], row["attempt"]) == ("blocked", "invalid_state", 0)
    assert json.loads(row["reconciliation"])["evidence"] == {"slot": slot, "slot_run": run.run_id}
    assert [scene.row(each)["status"] for each in (run.run_id, later)] == ["queued", "queued"]


def test_a_slot_has_one_backup_set_however_often_it_is_tried_and_run_and_set_agree(
    scene: Scene,
) -> None:
    run, slot = slot_run(scene, 60_000)
    of_slot: Any = {"tenant_id": TENANT, "schedule_id": "id-nightly", "slot": slot}
    first = begin_backup_set(scene.ledger, run_id=run.run_id, **of_slot)
    assert begin_backup_set(scene.ledger, run_id=run.run_id, **of_slot) == first
    end_record(scene.ledger, BackupSet, first, Outcome.PARTIALLY_SUCCEEDED)
    assert typed(scene.ledger, BackupReconciler()).sweep().acted == {"conclude": 1}
    row = scene.row(run.run_id)
    assert (row["outcome"], row["closed_by"]) == ("partially_succeeded", "backup_schedule")


def test_a_slot_whose_run_is_gone_is_noted_as_orphaned(scene: Scene) -> None:
    slot_run(scene, 60_000)
    with scene.ledger.transaction():
        scene.ledger.execute("DELETE FROM lastword_run")
    assert typed(scene.ledger, BackupReconciler()).sweep().acted == {"orphaned": 1}
    assert [slot["result"] for slot in list_slots(scene.ledger, "nightly")] == ["orphaned"]
    assert not typed(scene.ledger, BackupReconciler()).sweep().acted


def test_a_record_that_cannot_be_read_is_no_evidence(
    scene: Scene, generic: GenericReconciler
) -> None:
    run_id, worker_id, restore = restoring(scene)
    end_record(scene.ledger, Restore, restore, Outcome.SUCCEEDED)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_jobs_restore SET counts = 'no JSON'")
    scene.workers.lose(worker_id, cause={})
    assert generic.sweep().acted == {"close": 1}
    assert scene.row(run_id)["reason"] == "worker_lost"


def test_a_policy_that_names_a_reconciler_which_is_not_installed_is_refused_at_start() -> None:
    wrong = policy("report.build", reconcilers=["generic", "mainframe"])
    with pytest.raises(ConfigError, match=r"'mainframe', which is not installed.*adapter"):
        required_reconcilers(Config(policies={"report.build": wrong}))
    with pytest.raises(ConfigError, match="'generic' among them"):
        policy("report.build", reconcilers=["adapter"])
