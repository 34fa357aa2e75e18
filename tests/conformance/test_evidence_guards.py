"""A verdict is written only while its evidence holds, and a run that waits for its children waits.

As `test_guards.py`, for the guards of reconcilers and of runs that are made of runs.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.cancelling import Cancelled
from lastword.service.concluding import Conclusion
from lastword.service.values import Recorded, Refusal, Rejection
from lastword.service.workers import Progress
from lastword.states import Outcome, Source, Status
from lastword.storage.ledger import Ledger
from tests.conformance.test_guards import report, reserve, retry, running, seen
from tests.support import Scene

ON_A_WORKER = [Reason.WORKER_LOST, Reason.ATTEMPT_ABANDONED, Reason.TOO_MANY_DELIVERIES]


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def worker_id(scene: Scene) -> WorkerId:
    return scene.worker()


def waiting(scene: Scene, worker_id: WorkerId) -> tuple[RunId, RunId]:
    """A run whose attempt has returned, and the child that it waits for."""
    parent = running(scene, worker_id)
    child = scene.accept(parent_id=parent)
    assert report(scene, "finish", parent, worker_id) is Recorded.WAITING
    return parent, child


def concluded(scene: Scene, run_id: RunId, **changes: int) -> bool:
    row = scene.row(run_id)
    seen = {"attempt": row["attempt"], "dispatch": row["dispatch"], **changes}
    conclusion = Conclusion(
        run_id, **seen, source=Source.ADAPTER, outcome=Outcome.SUCCEEDED, reason=None, evidence={}
    )
    return bool(scene.runs.conclude([conclusion]))


def test_a_record_concludes_just_the_attempt_it_was_read_with(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert not concluded(scene, run_id, attempt=2)
    assert not concluded(scene, run_id, dispatch=2)
    assert concluded(scene, run_id)
    assert not concluded(scene, run_id)
    # Whoever still works on it comes too late.
    assert report(scene, "finish", run_id, worker_id) is Recorded.LATE
    assert scene.kinds(run_id) == ["accepted", "claimed", "completed", "late_result"]


def test_a_run_in_a_live_workers_hands_is_not_concluded_over_its_head(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    assert not concluded(scene, run_id)
    scene.workers.lose(worker_id, cause={})
    assert concluded(scene, run_id)


def test_a_run_is_left_to_its_holder_until_that_tells_of_its_work_without_it(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    verdict = seen(scene, run_id, Reason.MESSAGE_LOST)
    # A list that was drawn while it could still begin says nothing.
    scene.disclaim(worker_id)
    assert not scene.runs.redispatch([verdict])
    scene.backdate(run_id, "held_at", 60)
    scene.disclaim(worker_id, but=[run_id])
    assert not scene.runs.redispatch([verdict])
    scene.disclaim(worker_id)
    assert scene.runs.redispatch([verdict])


@pytest.mark.parametrize("reason", ON_A_WORKER)
def test_a_run_that_its_live_worker_lists_is_taken_by_no_verdict(
    scene: Scene, worker_id: WorkerId, reason: Reason
) -> None:
    run_id = running(scene, worker_id)
    judged = seen(scene, run_id, reason)
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id])
    assert scene.runs.close([judged]) == []
    assert scene.runs.redispatch([judged]) == []
    scene.workers.end(worker_id)
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[])
    if reason is not Reason.ATTEMPT_ABANDONED:
        assert scene.runs.close([judged]) == [run_id]


@pytest.mark.parametrize("reason", ON_A_WORKER)
def test_a_run_that_waits_for_its_children_needs_no_worker(
    scene: Scene, worker_id: WorkerId, reason: Reason
) -> None:
    parent, _ = waiting(scene, worker_id)
    scene.workers.end(worker_id)
    judged = seen(scene, parent, reason)
    assert scene.runs.close([judged]) == []
    assert scene.runs.redispatch([judged]) == []
    assert scene.row(parent)["status"] == "running"


def test_a_worker_that_was_ended_cannot_renew_its_lease(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.workers.lose(worker_id, cause={"seen": "a signal"})
    assert scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id]) is None
    assert not scene.workers.renew(worker_id, lease_ttl_s=60)
    assert scene.runs.close([seen(scene, run_id, Reason.WORKER_LOST)]) == [run_id]


def test_a_worker_that_was_ended_has_no_lease_whatever_is_left_of_it(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id, other = scene.accept(), scene.worker()
    reserve(scene, run_id, worker_id)
    scene.workers.end(worker_id)
    assert scene.claim(run_id, worker_id).refusal is Refusal.LEASE_LOST
    assert reserve(scene, run_id, other) is None


def test_a_queued_run_is_stale_only_once_it_is(scene: Scene) -> None:
    run_id = scene.accept()
    judged = seen(scene, run_id, Reason.STALE_QUEUED)
    assert scene.runs.close([judged]) == []
    scene.backdate(run_id, "stale_at", 60)
    assert scene.runs.close([judged]) == [run_id]


def test_an_attempt_gets_its_time_to_stop(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    judged = seen(scene, run_id, Reason.CANCEL_IGNORED)
    assert scene.runs.close([judged]) == []
    scene.runs.cancel([run_id], by="ada")
    assert scene.runs.close([judged]) == []
    scene.backdate(run_id, "cancel_requested_at", 31)
    assert scene.runs.close([judged]) == [run_id]


def test_a_run_with_an_open_child_ends_with_it_and_not_before(
    scene: Scene, worker_id: WorkerId
) -> None:
    parent, child = waiting(scene, worker_id)
    assert scene.row(parent)["status"] == "running"
    scene.claim(child, worker_id)
    assert report(scene, "finish", child, worker_id) is Recorded.MOVED
    assert scene.row(parent)["outcome"] == "succeeded"
    assert scene.kinds(parent)[-2:] == ["awaiting_children", "completed"]


def test_a_run_with_two_open_children_does_not_end_with_the_first(
    scene: Scene, worker_id: WorkerId
) -> None:
    parent, child = waiting(scene, worker_id)
    other = scene.accept(parent_id=parent)
    scene.runs.cancel([child], by="ada")
    assert scene.row(parent)["status"] == "running"
    scene.runs.cancel([other], by="ada")
    assert scene.row(parent)["outcome"] == "failed"


def test_a_parent_still_at_work_does_not_end_with_its_last_child(
    scene: Scene, worker_id: WorkerId
) -> None:
    parent = running(scene, worker_id)
    child = scene.accept(parent_id=parent)
    scene.runs.cancel([child], by="ada")
    assert scene.row(parent)["status"] == "running"


def test_a_return_is_recorded_once(scene: Scene, worker_id: WorkerId) -> None:
    parent, _ = waiting(scene, worker_id)
    assert report(scene, "finish", parent, worker_id) is Recorded.ALREADY
    assert scene.kinds(parent).count("awaiting_children") == 1


def test_an_attempt_that_has_returned_is_not_tried_again(scene: Scene, worker_id: WorkerId) -> None:
    parent, _ = waiting(scene, worker_id)
    assert retry(scene, parent, worker_id) == {}
    assert scene.row(parent)["status"] == "running"


def test_a_parent_is_asked_to_stop_while_it_works_and_ended_while_it_waits(
    scene: Scene, worker_id: WorkerId
) -> None:
    at_work = running(scene, worker_id)
    parent, _ = waiting(scene, worker_id)
    assert scene.runs.cancel([at_work, parent], by="ada") == {
        at_work: Cancelled.REQUESTED,
        parent: Cancelled.CANCELLED,
    }
    assert scene.row(at_work)["status"] == "running"


def test_a_completed_parent_hears_of_no_more_children(scene: Scene, worker_id: WorkerId) -> None:
    parent, child = waiting(scene, worker_id)
    scene.runs.cancel([parent], by="ada")
    before = scene.row(parent)
    scene.accept(parent_id=parent)
    scene.runs.cancel([child], by="ada")
    assert scene.row(parent) == before


def test_a_verdict_on_a_queued_run_does_not_reach_it_once_it_is_running(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    judged = seen(scene, run_id, Reason.MESSAGE_LOST)
    scene.claim(run_id, worker_id)
    late = seen(scene, run_id, Reason.MESSAGE_LOST, status=Status.QUEUED)
    assert scene.runs.close([judged, late]) == []
    assert scene.runs.redispatch([judged]) == []
    assert scene.row(run_id)["status"] == "running"


def test_a_parent_whose_child_failed_before_it_returned_did_not_succeed(
    scene: Scene, worker_id: WorkerId
) -> None:
    parent = running(scene, worker_id)
    child = scene.accept(parent_id=parent)
    scene.claim(child, worker_id)
    assert report(scene, "fail", child, worker_id) is Recorded.MOVED
    report(scene, "finish", parent, worker_id)
    # As it would have ended had the child failed a moment after the parent returned.
    row = scene.row(parent)
    assert (row["outcome"], row["reason"]) == ("failed", "children_failed")


@pytest.mark.parametrize("verb", ["fail", "cancelled"])
def test_an_attempt_whose_return_is_recorded_ends_its_run_in_no_other_way(
    scene: Scene, worker_id: WorkerId, verb: str
) -> None:
    parent, child = waiting(scene, worker_id)
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[])
    with scene.ledger.transaction():
        scene.ledger.execute(
            "UPDATE lastword_run SET cancel_requested_at = 1 "
            f"WHERE id = {scene.ledger.dialect.param}",
            parent,
        )
    assert report(scene, verb, parent, worker_id) is Recorded.ALREADY
    assert scene.row(parent)["status"] == "running"
    scene.claim(child, worker_id)
    report(scene, "finish", child, worker_id)
    assert scene.row(parent)["outcome"] == "succeeded"


def test_a_late_heartbeat_does_not_overwrite_the_counts_of_a_run_that_has_returned(
    scene: Scene, worker_id: WorkerId
) -> None:
    parent, _ = waiting(scene, worker_id)
    before = scene.row(parent)["summary_counts"]
    beat = scene.workers.heartbeat(
        worker_id,
        lease_ttl_s=60,
        working=[parent],
        progress=[Progress(parent, 1, {"processed": 2})],
    )
    assert beat is not None
    assert beat.saved == frozenset()
    assert scene.row(parent)["summary_counts"] == before


def test_a_duplicate_that_another_worker_rejects_does_not_end_a_run_that_is_held(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id, other = scene.accept(), scene.worker()
    reserve(scene, run_id, worker_id)
    rejection = Rejection(run_id, 1, Reason.UNKNOWN_ACTOR, worker_id=other)
    assert scene.runs.reject([rejection]) == []
    assert scene.runs.reject([replace(rejection, worker_id=worker_id)]) == [run_id]
