"""Measures: each transition is counted once, in its transaction, and no count is ever lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from lastword.config import Config
from lastword.metrics.collecting import LedgerCollector
from lastword.reasons import Reason
from lastword.service.pruning import prune
from lastword.service.requests import Denial
from lastword.service.values import AttemptEnd, Verdict
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger
from lastword.storage.measures import fold, read_measures
from lastword.storage.opening import open_ledger
from tests.support import POLICIES, Scene

#: What the tests' operations are.
CONFIG = Config(policies=POLICIES)


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def registry(ledger: Ledger, config: Config = CONFIG, **more: Any) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(LedgerCollector(config, ledger, kept_s=0.0, **more))
    return made


def value(ledger: Ledger, name: str, **labels: str) -> float:
    found = registry(ledger).get_sample_value(f"lastword_{name}", labels)
    assert found is not None, (name, labels)
    return found


def total(ledger: Ledger, name: str) -> float:
    """The sum over all labels."""
    wanted = f"lastword_{name}"
    return sum(
        sample.value
        for family in registry(ledger).collect()
        for sample in family.samples
        if sample.name == wanted
    )


def test_a_life_is_counted_step_by_step(scene: Scene) -> None:
    ledger, operation = scene.ledger, "report.build"
    worker = scene.worker()
    run = scene.accept()
    scene.claim(run, worker)
    scene.runs.finish([AttemptEnd(run, 1, worker, Outcome.SUCCEEDED)])
    assert value(ledger, "runs_created_total", operation=operation, trigger="application") == 1
    labels = {"operation": operation, "outcome": "succeeded"}
    assert value(ledger, "runs_completed_total", **labels, resolved_by="worker") == 1
    assert value(ledger, "run_attempts_total", operation=operation, result="succeeded") == 1
    assert value(ledger, "run_queue_wait_seconds_count", operation=operation) == 1
    assert value(ledger, "run_duration_seconds_count", **labels) == 1
    assert value(ledger, "run_duration_seconds_bucket", **labels, le="+Inf") == 1
    assert value(ledger, "run_duration_seconds_bucket", **labels, le="0.5") == 1


def test_a_heartbeat_is_timed_with_its_commit_and_told_by_the_next(scene: Scene) -> None:
    worker = scene.worker()
    beats = "heartbeat_write_duration_seconds"
    assert value(scene.ledger, f"{beats}_count") == 0
    for _ in range(3):
        scene.workers.heartbeat(worker, lease_ttl_s=60, working=[])
    assert value(scene.ledger, f"{beats}_count") == 2
    assert 0 < value(scene.ledger, f"{beats}_sum") < 10


def test_a_report_that_is_repeated_is_counted_once(scene: Scene) -> None:
    worker = scene.worker()
    run = scene.accept()
    scene.claim(run, worker)
    for _ in range(3):
        scene.runs.finish([AttemptEnd(run, 1, worker, Outcome.SUCCEEDED)])
    assert total(scene.ledger, "runs_completed_total") == 1


def test_each_end_is_counted_by_who_gave_it(scene: Scene) -> None:
    ledger = scene.ledger
    worker = scene.worker()
    failed = scene.accept(identity_hash="a")
    scene.claim(failed, worker)
    scene.runs.fail([AttemptEnd(failed, 1, worker, Outcome.FAILED, Reason.NOT_RETRYABLE)])
    cancelled = scene.accept(identity_hash="b")
    scene.runs.cancel([cancelled], by="Ada")
    lost = scene.accept(identity_hash="c")
    scene.claim(lost, worker)
    with ledger.transaction():
        ledger.execute("UPDATE lastword_worker SET lease_until = 0")
    verdict = Verdict(lost, Status.RUNNING, 1, 1, Reason.WORKER_LOST, {}, age_s=70, threshold_s=10)
    assert scene.runs.close([verdict])
    assert not scene.runs.close([verdict])
    completed = "runs_completed_total"
    labels = {"operation": "report.build", "outcome": "failed"}
    assert value(ledger, completed, **labels, resolved_by="bridge") == 1
    assert value(ledger, completed, **labels, resolved_by="reconciler") == 1
    labels = {"operation": "report.build", "outcome": "cancelled"}
    assert value(ledger, completed, **labels, resolved_by="operator") == 1
    assert total(ledger, completed) == 3
    reconciled = {"operation": "report.build", "reason": "worker_lost"}
    assert value(ledger, "runs_reconciled_total", **reconciled) == 1
    assert value(ledger, "reconcile_lag_seconds_sum", reason="worker_lost") == 60
    lag = {"reason": "worker_lost", "le": "60"}
    assert value(ledger, "reconcile_lag_seconds_bucket", **lag) == 1
    assert value(ledger, "reconcile_lag_seconds_bucket", **{**lag, "le": "30"}) == 0
    assert value(ledger, "run_transition_conflicts_total", transition="close_running") == 1


def test_starts_that_meet_a_run_are_counted_by_what_they_met(scene: Scene) -> None:
    scene.accept(identity_hash="a", scope_key="s")
    scene.accept(identity_hash="a")
    scene.accept(identity_hash="b", scope_key="s")
    found = {
        result: value(
            scene.ledger, "starts_deduplicated_total", operation="report.build", result=result
        )
        for result in ("deduped", "scope_busy")
    }
    assert found == {"deduped": 1, "scope_busy": 1}
    assert total(scene.ledger, "runs_created_total") == 1


def accept_and_fail(scene: Scene, name: str) -> None:
    with scene.ledger.transaction():
        scene.accept(identity_hash=name)
        raise ZeroDivisionError


def test_what_is_rolled_back_was_never_counted(scene: Scene) -> None:
    with pytest.raises(ZeroDivisionError):
        accept_and_fail(scene, "a")
    with scene.ledger.transaction():
        scene.accept(identity_hash="b")
        with pytest.raises(ZeroDivisionError):
            accept_and_fail(scene, "c")
    assert total(scene.ledger, "runs_created_total") == 1
    with pytest.raises(LookupError, match="outside a transaction"):
        scene.ledger.measure("runs_created", ("report.build", "person"))


def test_adding_up_changes_no_number_and_leaves_few_rows(scene: Scene) -> None:
    for number in range(30):
        run = scene.accept(identity_hash=str(number))
        scene.runs.cancel([run], by="Ada")
    before = read_measures(scene.ledger)
    assert fold(scene.ledger) > 60
    assert read_measures(scene.ledger) == before
    assert fold(scene.ledger) == 0
    with scene.ledger.session():
        [row] = scene.ledger.execute("SELECT COUNT(*) AS n FROM lastword_measure")
    assert row["n"] == len(before)


def test_adding_up_while_others_count_loses_nothing(database_url: str, scene: Scene) -> None:
    done = threading.Event()
    errors: list[BaseException] = []

    def count_up() -> None:
        mine = open_ledger(database_url)
        try:
            for _ in range(100):
                with mine.transaction():
                    mine.measure("runs_created", ("report.build", "person"))
        except Exception as error:  # noqa: BLE001 - judged by the test
            errors.append(error)
        finally:
            mine.close()

    def add_up() -> None:
        mine = open_ledger(database_url)
        while not done.is_set():
            fold(mine)
        mine.close()

    folding = threading.Thread(target=add_up)
    counting = [threading.Thread(target=count_up) for _ in range(3)]
    folding.start()
    for thread in counting:
        thread.start()
    for thread in counting:
        thread.join()
    done.set()
    folding.join()
    assert errors == []
    assert read_measures(scene.ledger)["runs_created", ("report.build", "person")] == 300


def test_counts_outlive_the_runs_that_they_are_of(scene: Scene) -> None:
    run = scene.accept()
    scene.runs.cancel([run], by="Ada")
    scene.backdate(run, "completed_at", 7200)
    assert prune(scene.ledger, older_than_s=3600, is_enough=lambda: False)
    with scene.ledger.session():
        assert scene.ledger.execute("SELECT id FROM lastword_run") == []
    assert total(scene.ledger, "runs_completed_total") == 1


def test_a_run_that_is_refused_is_made_and_ended(scene: Scene) -> None:
    denial = Denial(Reason.TENANT_MISSING, "gone")
    scene.refuse(denial)
    labels = {"operation": "report.build", "outcome": "blocked", "resolved_by": "gate"}
    assert value(scene.ledger, "runs_completed_total", **labels) == 1
    assert total(scene.ledger, "runs_created_total") == 1
