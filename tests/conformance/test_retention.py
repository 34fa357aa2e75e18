"""Retention, on both databases: what is old enough goes, with what belongs to it, and no more."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any

import pytest

from lastword.identity import RunId, WorkerId
from lastword.service.pruning import BATCH, prune
from lastword.service.values import AttemptEnd, Delivery
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword_scheduler.retention import Retention
from tests.support import Scene


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def finish(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    assert scene.runs.finish([AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED, None)])


def ended(scene: Scene, worker_id: WorkerId, **fields: Any) -> RunId:
    run_id = scene.accept(**fields)
    scene.claim(run_id, worker_id)
    finish(scene, run_id, worker_id)
    return run_id


def test_only_what_ended_long_ago_is_removed_with_its_attempts_and_events(scene: Scene) -> None:
    worker_id = scene.worker()
    old, new, active = ended(scene, worker_id), ended(scene, worker_id), scene.accept()
    for run_id in (old, active):
        scene.backdate(run_id, "created_at", 1000)
    scene.backdate(old, "completed_at", 1000)
    removed = prune(scene.ledger, older_than_s=500, is_enough=lambda: False)
    assert removed == {"run": 1}
    with scene.ledger.session():
        for table in ("attempt", "event"):
            rows = scene.ledger.execute(f"SELECT DISTINCT run_id FROM lastword_{table}")
            assert old not in {row["run_id"] for row in rows}
        kept = scene.ledger.execute("SELECT id FROM lastword_run")
        [counted] = scene.ledger.execute("SELECT * FROM lastword_counter")
    assert {row["id"] for row in kept} == {new, active}
    assert (counted["name"], counted["label"], counted["value"]) == ("pruned", "run", 1)


def test_what_belongs_to_a_run_goes_with_it_where_no_foreign_key_sees_to_that(
    scene: Scene,
) -> None:
    old = ended(scene, scene.worker())
    scene.backdate(old, "completed_at", 1000)
    one_file = scene.ledger.is_one_file
    off, on = (
        ("PRAGMA foreign_keys = 0", "PRAGMA foreign_keys = 1")
        if one_file
        else ("SET session_replication_role = replica", "SET session_replication_role = origin")
    )
    with scene.ledger.session():
        scene.ledger.execute(off)
        assert prune(scene.ledger, older_than_s=500, is_enough=lambda: False) == {"run": 1}
        scene.ledger.execute(on)
        for table in ("attempt", "event"):
            assert scene.ledger.execute(f"SELECT run_id FROM lastword_{table}") == []


def test_a_part_stays_as_long_as_the_run_that_it_is_a_part_of(scene: Scene) -> None:
    worker_id = scene.worker()
    parent = scene.accept()
    scene.claim(parent, worker_id)
    child = ended(scene, worker_id, parent_id=parent)
    scene.backdate(child, "completed_at", 1000)
    assert not prune(scene.ledger, older_than_s=500, is_enough=lambda: False)
    finish(scene, parent, worker_id)
    assert prune(scene.ledger, older_than_s=500, is_enough=lambda: False) == {"run": 1}


def test_retention_ends_between_two_batches_when_it_is_told_to(scene: Scene) -> None:
    worker_id = scene.worker()
    run_ids = [ended(scene, worker_id) for _ in range(3)]
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_run SET completed_at = 1")
    looks = chain([False, False], repeat(True))
    assert len(run_ids) <= BATCH
    assert prune(scene.ledger, older_than_s=1, is_enough=lambda: next(looks)) == {"run": 3}
    assert not prune(scene.ledger, older_than_s=1, is_enough=lambda: True)


def test_retention_leaves_what_it_could_not_remove_in_its_time_to_the_next_sweep(
    scene: Scene,
) -> None:
    worker_id = scene.worker()
    for _ in range(3):
        ended(scene, worker_id)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_run SET completed_at = 1")
    # Asked when it begins, and before each batch; the slots are first.
    now = chain([0.0, 10.0], repeat(60.0))
    late = Retention(scene.ledger, 1, within_s=50, clock=lambda: next(now))
    assert not late.sweep().acted
    assert Retention(scene.ledger, 1, within_s=50).sweep().acted == {"run": 3}


def test_ended_workers_go_once_they_are_old_and_no_active_run_names_them(scene: Scene) -> None:
    idle, busy, alive = scene.worker(), scene.worker(), scene.worker()
    run_id = scene.accept()
    scene.claim(run_id, busy)
    for worker_id in (idle, busy):
        scene.workers.lose(worker_id, cause={})
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET ended_at = 1 WHERE ended_at IS NOT NULL")
    assert prune(scene.ledger, older_than_s=1, is_enough=lambda: False) == {"worker": 1}
    with scene.ledger.session():
        rows = scene.ledger.execute("SELECT id FROM lastword_worker")
    assert {row["id"] for row in rows} == {busy, alive}


def test_an_ended_worker_stays_while_it_is_young_or_holds_what_it_has_not_begun(
    scene: Scene,
) -> None:
    young, holder = scene.worker(), scene.worker()
    scene.runs.reserve([Delivery(scene.accept(), 1)], worker_id=holder)
    for worker_id in (young, holder):
        scene.workers.lose(worker_id, cause={})
    with scene.ledger.transaction():
        scene.ledger.execute(
            f"UPDATE lastword_worker SET ended_at = 1 WHERE id = {scene.ledger.dialect.param}",
            holder,
        )
    assert not prune(scene.ledger, older_than_s=60, is_enough=lambda: False)


def test_a_sqlite_file_gives_the_pages_of_what_was_removed_back(sqlite_ledger: Ledger) -> None:
    scene = Scene(sqlite_ledger)
    worker_id = scene.worker()
    for _ in range(50):
        ended(scene, worker_id, payload="x" * 20_000)
    with sqlite_ledger.transaction():
        sqlite_ledger.execute("UPDATE lastword_run SET completed_at = 1")

    def pages() -> int:
        with sqlite_ledger.session():
            [row] = sqlite_ledger.execute("PRAGMA page_count")
        return int(row["page_count"])

    before = pages()
    Retention(sqlite_ledger, 1, within_s=50).sweep()
    assert pages() < before / 2
