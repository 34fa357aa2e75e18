"""What is refused, put off or excluded: by the service, on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lastword.identity import RunId, WorkerId, new_run_id
from lastword.reasons import Reason
from lastword.service.requests import Acceptance, Denial, NewRun
from lastword.service.values import AttemptEnd, Barred, Delivery, PutOff, Recorded, Refusal
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from tests.support import Scene, policy

DENIAL = Denial(Reason.MISSING_CAPABILITY, "May not.", ({"label": "Ask"},))


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def worker_id(scene: Scene) -> WorkerId:
    return scene.worker()


def running(scene: Scene, worker_id: WorkerId, **fields: Any) -> RunId:
    run_id = scene.accept(**fields)
    assert scene.claim(run_id, worker_id).refusal is None
    return run_id


def put_off(
    scene: Scene, run_id: RunId, worker_id: WorkerId, *, attempt: int = 1, within_s: float = 60
) -> dict[RunId, int]:
    wanted = PutOff(
        *(run_id, attempt, worker_id, 5.0, within_s, Reason.THROTTLED),
        counts={"processed": 2},
        context={"page": 3},
    )
    return scene.runs.defer([wanted])


def decline(scene: Scene, run_id: RunId, worker_id: WorkerId, attempt: int = 1) -> Recorded | None:
    end = AttemptEnd(run_id, attempt, worker_id, Outcome.BLOCKED, Reason.PERMISSION_DENIED)
    return scene.runs.decline([end]).get(run_id)


def new(**fields: Any) -> NewRun:
    return NewRun(new_run_id(), policy(), "build_report", "{}", **fields)


def test_a_run_that_is_put_off_spends_no_try_and_keeps_what_it_said(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert put_off(scene, run_id, worker_id) == {run_id: 2}
    row = scene.row(run_id)
    assert (row["status"], row["attempt"], row["retries"], row["reason"]) == ("queued", 1, 0, None)
    assert row["available_at"] - row["changed_at"] == 5000
    assert json.loads(row["summary_counts"]) == {"processed": 2}
    assert json.loads(row["context"]) == {"page": 3}
    event = scene.events(run_id)[-1]
    assert (event["kind"], event["reason"], event["terminal"]) == ("deferred", "throttled", False)
    assert json.loads(event["detail"]) == {"delay_ms": 5000}
    assert scene.claim(run_id, worker_id, dispatch=1).refusal is Refusal.SUPERSEDED
    assert scene.claim(run_id, worker_id, dispatch=2).attempt == 2


def test_a_deferral_whose_answer_was_lost_may_be_repeated(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert [put_off(scene, run_id, worker_id) for _ in range(2)] == [{run_id: 2}] * 2
    assert scene.kinds(run_id).count("deferred") == 1


def test_a_run_is_put_off_for_as_long_as_its_policy_allows(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert put_off(scene, run_id, worker_id, within_s=4.9) == {}
    # Counted from the first start, however often it was put off since.
    assert put_off(scene, run_id, worker_id, within_s=60) == {run_id: 2}
    scene.claim(run_id, worker_id, dispatch=2)
    scene.backdate(run_id, "started_at", 56)
    assert put_off(scene, run_id, worker_id, attempt=2, within_s=60) == {}
    assert scene.row(run_id)["status"] == "running"


def test_only_the_current_attempt_is_put_off(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert put_off(scene, run_id, scene.worker()) == {}
    put_off(scene, run_id, worker_id)
    scene.claim(run_id, worker_id, dispatch=2)
    assert put_off(scene, run_id, worker_id, attempt=1) == {}
    assert scene.row(run_id)["status"] == "running"


def test_what_was_asked_to_stop_is_not_put_off(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.runs.cancel([run_id], by="ada")
    assert put_off(scene, run_id, worker_id) == {}


def with_an_open_child(scene: Scene, worker_id: WorkerId) -> RunId:
    run_id = running(scene, worker_id)
    scene.accept(parent_id=run_id)
    done = AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED)
    assert scene.runs.finish([done]) == {run_id: Recorded.WAITING}
    return run_id


def test_an_attempt_that_has_returned_is_not_put_off(scene: Scene, worker_id: WorkerId) -> None:
    run_id = with_an_open_child(scene, worker_id)
    assert put_off(scene, run_id, worker_id) == {}


def test_an_attempt_that_has_returned_is_not_blocked_any_more(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = with_an_open_child(scene, worker_id)
    decline(scene, run_id, worker_id)
    assert scene.row(run_id)["status"] == "running"


def test_only_the_current_attempt_ends_a_run_as_blocked(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert decline(scene, run_id, scene.worker()) is Recorded.LATE
    put_off(scene, run_id, worker_id)
    scene.claim(run_id, worker_id, dispatch=2)
    assert decline(scene, run_id, worker_id, attempt=1) is Recorded.LATE
    assert decline(scene, run_id, worker_id, attempt=2) is Recorded.MOVED
    assert decline(scene, run_id, worker_id, attempt=2) is Recorded.ALREADY
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"], row["closed_by"]) == (
        *("blocked", "permission_denied", "worker"),
    )


def test_the_gate_ends_what_it_was_asked_about_and_no_more(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    assert scene.runs.block([Barred(run_id, 2, worker_id, DENIAL)]) == []
    scene.runs.reserve([Delivery(run_id, 1)], worker_id=worker_id)
    assert scene.runs.block([Barred(run_id, 1, worker_id, DENIAL)]) == [run_id]
    row = scene.row(run_id)
    assert (row["status"], row["outcome"], row["reason"]) == (
        *("completed", "blocked", "missing_capability"),
    )
    assert (row["closed_by"], row["attempt"]) == ("gate", 0)
    assert json.loads(row["failures"]) == [
        {"code": "missing_capability", "message": "May not.", "next_steps": [{"label": "Ask"}]}
    ]
    assert scene.claim(run_id, worker_id).refusal is Refusal.COMPLETED


def test_what_another_worker_holds_is_not_the_gates(scene: Scene, worker_id: WorkerId) -> None:
    run_id = scene.accept()
    scene.runs.reserve([Delivery(run_id, 1)], worker_id=worker_id)
    assert scene.runs.block([Barred(run_id, 1, scene.worker(), DENIAL)]) == []
    assert scene.row(run_id)["status"] == "queued"


def test_a_start_that_is_refused_leaves_a_run_that_says_why(scene: Scene) -> None:
    request = new(identity_hash="same", scope_key="scope", denial=DENIAL)
    scene.runs.refuse([request])
    row = scene.row(request.run_id)
    assert (row["status"], row["outcome"], row["reason"], row["closed_by"]) == (
        *("completed", "blocked", "missing_capability", "start"),
    )
    assert scene.kinds(request.run_id) == ["refused"]
    # It stands in nobody's way.
    [accepted] = scene.runs.accept([new(identity_hash="same", scope_key="scope")])
    assert accepted.result is Acceptance.ACCEPTED


def test_of_two_runs_on_one_scope_the_second_is_told_which_is_busy(scene: Scene) -> None:
    first, second = new(scope_key="a", identity_hash="1"), new(scope_key="a", identity_hash="2")
    scene.runs.accept([first])
    [busy] = scene.runs.accept([second])
    assert (busy.result, busy.run_id) == (Acceptance.SCOPE_BUSY, first.run_id)
    [same] = scene.runs.accept([new(scope_key="a", identity_hash="1")])
    assert (same.result, same.run_id) == (Acceptance.DEDUPED, first.run_id)
    [free] = scene.runs.accept([new(scope_key="b", identity_hash="2")])
    assert free.result is Acceptance.ACCEPTED


def test_a_scope_is_free_again_once_its_run_has_ended(scene: Scene) -> None:
    first = new(scope_key="a", identity_hash="1")
    scene.runs.accept([first])
    scene.runs.cancel([first.run_id], by="ada")
    [free] = scene.runs.accept([new(scope_key="a", identity_hash="2")])
    assert free.result is Acceptance.ACCEPTED
    scene.runs.refuse([new(scope_key="a", identity_hash="4", denial=DENIAL)])
    [busy] = scene.runs.accept([new(scope_key="a", identity_hash="3")])
    assert (busy.result, busy.run_id) == (Acceptance.SCOPE_BUSY, free.run_id)
