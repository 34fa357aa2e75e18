"""What is scraped: the same truth as everywhere, few series, and nothing that hangs."""

from __future__ import annotations

import time
from dataclasses import replace

import psycopg

from lastword.metrics.collecting import READ_WITHIN_S
from lastword.reading.freshness import Freshness
from lastword.reading.runs import RunFilter, count_runs
from lastword.service.audit import SYSTEM, Entry, write_audit
from lastword.storage.opening import open_ledger
from tests.conformance.test_metering import registry, total, value
from tests.conformance.test_metering import scene as scene
from tests.support import POLICIES, Scene


def test_a_label_that_nobody_knows_is_no_new_series(scene: Scene) -> None:
    def series() -> int:
        return sum(len(family.samples) for family in registry(scene.ledger).collect())

    before = series()
    for number in range(50):
        policy = replace(POLICIES["report.build"], operation=f"made.up.{number}")
        run = scene.accept(policy=policy, identity_hash=str(number))
        scene.runs.cancel([run], by="Ada")
        with scene.ledger.transaction():
            scene.ledger.measure("runs_completed", (f"x{number}" * 200, "odd", "odd"))
            scene.ledger.measure("provider_requests", (f"BREW{number}", str(number)))
    write_audit(scene.ledger, SYSTEM, [Entry("<script>" * 5, "run")])
    # One more of each family that has such a label, and not one for each name.
    assert series() - before < 40
    labels = {"operation": "unknown", "outcome": "cancelled", "resolved_by": "operator"}
    assert value(scene.ledger, "runs_completed_total", **labels) == 50


def test_the_number_of_series_follows_neither_runs_nor_workers_nor_workspaces(
    scene: Scene,
) -> None:
    def series() -> int:
        return sum(len(family.samples) for family in registry(scene.ledger).collect())

    run = scene.accept(identity_hash="first", tenant_id="t", workspace_id="w")
    scene.runs.cancel([run], by="Ada")
    scene.worker()
    before = series()
    for number in range(40):
        scene.worker()
        run = scene.accept(
            identity_hash=str(number), tenant_id=f"t{number}", workspace_id=f"w{number}"
        )
        scene.runs.cancel([run], by="Ada")
    assert series() == before


def test_what_is_stale_is_the_same_to_all_who_say_so(scene: Scene) -> None:
    """I11: badge and filter and API read it from the same query as this gauge."""
    worker, gone = scene.worker(), scene.worker()
    for number in range(12):
        run = scene.accept(identity_hash=str(number))
        if number % 2:
            scene.claim(run, gone if number % 3 == 0 else worker)
        if number % 4 == 0:
            scene.backdate(run, "stale_at", 3600)
        if number == 10:
            scene.runs.cancel([run], by="Ada")
    with scene.ledger.transaction():
        scene.ledger.execute(
            f"UPDATE lastword_worker SET lease_until = 0 WHERE id = {scene.ledger.dialect.param}",
            gone,
        )
    stale = RunFilter(freshness_state=Freshness.LIKELY_STALE)
    listed = count_runs(scene.ledger, stale, at_most=100)
    assert listed == total(scene.ledger, "runs_stale") == 5
    assert total(scene.ledger, "runs") == 11
    assert total(scene.ledger, "run_oldest_stale_age_seconds") > 3000


def test_workers_are_told_by_state_and_by_how_they_ended(scene: Scene) -> None:
    ledger = scene.ledger
    drained, killed, lost, live = (scene.worker() for _ in range(4))
    for worker in (drained, killed):
        scene.workers.heartbeat(worker, lease_ttl_s=60, working=[], draining=True)
    scene.workers.end(drained)
    scene.workers.lose(killed, cause={})
    scene.workers.lose(lost, cause={})
    scene.workers.heartbeat(live, lease_ttl_s=60, working=[])
    exits = {
        reason: value(ledger, "worker_exits_total", reason=reason)
        for reason in ("drained", "grace_exceeded", "lost", "stopped")
    }
    assert exits == {"drained": 1, "grace_exceeded": 1, "lost": 1, "stopped": 0}
    assert value(ledger, "worker_drain_duration_seconds_count") == 1
    assert value(ledger, "workers", queue="unknown", state="active") == 1
    assert value(ledger, "worker_slots", queue="unknown", state="idle") == 8


def test_a_database_that_hangs_costs_a_scrape_two_seconds(new_postgres_url: str) -> None:
    ledger = open_ledger(new_postgres_url)
    made = registry(ledger)
    with psycopg.connect(new_postgres_url) as other:
        other.execute("LOCK TABLE lastword_run IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):
            began = time.monotonic()
            samples = [sample for family in made.collect() for sample in family.samples]
            assert time.monotonic() - began < READ_WITHIN_S + 0.5
            assert [(sample.name, sample.value) for sample in samples] == [
                ("lastword_ledger_up", 0)
            ]
        other.rollback()
    deadline = time.monotonic() + 10
    while not made.get_sample_value("lastword_ledger_up"):
        assert time.monotonic() < deadline
    ledger.close()
