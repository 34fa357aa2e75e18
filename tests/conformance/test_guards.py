"""Each guard of the service at work: the one order of events that it is there for.

`tests/faults/test_mutations.py` takes the guards away one by one; the test named there goes red.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.cancelling import Cancelled
from lastword.service.values import (
    AttemptEnd,
    Beginning,
    Delivery,
    Recorded,
    Refusal,
    Rejection,
    Retry,
    Sending,
    Sighting,
    Verdict,
)
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger
from tests.support import Scene

Report = Callable[[Sequence[AttemptEnd]], Mapping[RunId, Recorded]]

REPORTS = {
    "finish": Outcome.SUCCEEDED,
    "cancelled": Outcome.CANCELLED,
    "fail": Outcome.FAILED,
}

ON_QUEUED = [Reason.STALE_QUEUED, Reason.MESSAGE_LOST, Reason.QUEUE_WAIT_EXCEEDED]


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def worker_id(scene: Scene) -> WorkerId:
    return scene.worker()


def report(
    scene: Scene, verb: str, run_id: RunId, worker_id: WorkerId, attempt: int = 1
) -> Recorded | None:
    reason = Reason.RETRIES_EXHAUSTED if verb == "fail" else None
    end = AttemptEnd(run_id, attempt, worker_id, REPORTS[verb], reason)
    recorded: Report = getattr(scene.runs, verb)
    return recorded([end]).get(run_id)


def retry(scene: Scene, run_id: RunId, worker_id: WorkerId, attempt: int = 1) -> dict[RunId, int]:
    wanted = Retry(run_id, attempt, worker_id, 0.0, attempt, Reason.THROTTLED)
    return scene.runs.retry([wanted])


def reserve(scene: Scene, run_id: RunId, worker_id: WorkerId, dispatch: int = 1) -> Refusal | None:
    [answer] = scene.runs.reserve([Delivery(run_id, dispatch)], worker_id=worker_id)
    return answer.refusal


def begin(
    scene: Scene, run_id: RunId, worker_id: WorkerId, *, dispatch: int = 1, attempt: int = 1
) -> bool:
    return bool(scene.runs.begin([Beginning(run_id, dispatch, attempt, worker_id)]))


def seen(scene: Scene, run_id: RunId, reason: Reason, **changes: Any) -> Verdict:
    row = scene.row(run_id)
    fields = {
        "status": Status(row["status"]),
        "attempt": row["attempt"],
        "dispatch": row["dispatch"],
        "message_ref": row["message_ref"],
        **changes,
    }
    return Verdict(run_id=run_id, reason=reason, evidence={}, **fields)


def running(scene: Scene, worker_id: WorkerId, **fields: Any) -> RunId:
    run_id = scene.accept(**fields)
    assert scene.claim(run_id, worker_id).refusal is None
    return run_id


def test_a_report_after_the_attempts_own_retry_is_late(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert retry(scene, run_id, worker_id) == {run_id: 2}
    assert report(scene, "finish", run_id, worker_id) is Recorded.LATE
    assert scene.row(run_id)["status"] == "queued"


@pytest.mark.parametrize("verb", REPORTS)
def test_an_earlier_attempt_of_the_same_worker_ends_nothing(
    scene: Scene, worker_id: WorkerId, verb: str
) -> None:
    run_id = running(scene, worker_id)
    retry(scene, run_id, worker_id)
    assert scene.claim(run_id, worker_id, dispatch=2).attempt == 2
    scene.runs.cancel([run_id], by="ada")
    assert report(scene, verb, run_id, worker_id) is Recorded.LATE
    assert scene.row(run_id)["status"] == "running"
    assert retry(scene, run_id, worker_id) == {}


@pytest.mark.parametrize("verb", REPORTS)
def test_another_worker_ends_nothing_under_the_number_of_the_attempt(
    scene: Scene, worker_id: WorkerId, verb: str
) -> None:
    run_id = running(scene, worker_id)
    scene.runs.cancel([run_id], by="ada")
    assert report(scene, verb, run_id, scene.worker()) is Recorded.LATE
    assert scene.row(run_id)["status"] == "running"


def test_only_the_current_attempt_goes_back_to_the_queue(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert retry(scene, run_id, scene.worker()) == {}
    retry(scene, run_id, worker_id)
    scene.claim(run_id, worker_id, dispatch=2)
    assert retry(scene, run_id, worker_id) == {}
    assert scene.row(run_id)["status"] == "running"


def test_an_attempt_that_was_asked_to_stop_is_not_tried_again(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    scene.runs.cancel([run_id], by="ada")
    assert retry(scene, run_id, worker_id) == {}
    assert scene.row(run_id)["status"] == "running"


def test_an_attempt_that_nobody_asked_to_stop_does_not_end_as_cancelled(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert report(scene, "cancelled", run_id, worker_id) is Recorded.LATE
    assert scene.row(run_id)["status"] == "running"


def test_a_delivery_that_was_sent_again_since_is_not_reserved(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    assert scene.runs.redispatch([seen(scene, run_id, Reason.MESSAGE_LOST)])
    assert reserve(scene, run_id, worker_id) is Refusal.SUPERSEDED
    assert scene.row(run_id)["holder"] is None


def test_a_claim_of_an_older_delivery_starts_nothing(scene: Scene, worker_id: WorkerId) -> None:
    run_id = scene.accept()
    assert scene.claim(run_id, worker_id, dispatch=0).refusal is Refusal.SUPERSEDED
    assert scene.row(run_id)["status"] == "queued"


def test_a_worker_whose_lease_has_run_out_reserves_nothing(scene: Scene) -> None:
    run_id = scene.accept()
    assert reserve(scene, run_id, scene.worker(lease_ttl_s=0)) is Refusal.LEASE_LOST
    ended = scene.worker()
    scene.workers.end(ended)
    assert reserve(scene, run_id, ended) is Refusal.LEASE_LOST
    assert scene.row(run_id)["holder"] is None


def test_what_a_live_worker_holds_no_other_may_have(scene: Scene, worker_id: WorkerId) -> None:
    run_id, other = scene.accept(), scene.worker()
    assert reserve(scene, run_id, worker_id) is None
    assert reserve(scene, run_id, other) is Refusal.HELD
    assert scene.claim(run_id, other).refusal is Refusal.HELD
    assert scene.row(run_id)["holder"] == worker_id
    scene.workers.end(worker_id)
    assert reserve(scene, run_id, other) is None


def test_what_was_asked_to_stop_in_a_workers_hands_is_not_begun(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    assert scene.runs.cancel([run_id], by="ada") == {run_id: Cancelled.REQUESTED}
    assert reserve(scene, run_id, worker_id) is Refusal.ASKED_TO_STOP
    assert scene.claim(run_id, worker_id).refusal is Refusal.ASKED_TO_STOP
    assert scene.row(run_id)["status"] == "queued"


def test_a_worker_gives_back_only_what_it_holds(scene: Scene, worker_id: WorkerId) -> None:
    run_id, other = scene.accept(), scene.worker()
    reserve(scene, run_id, worker_id)
    assert scene.runs.release([Delivery(run_id, 1)], worker_id=other) == []
    assert scene.runs.release([Delivery(run_id, 0)], worker_id=worker_id) == []
    assert scene.row(run_id)["holder"] == worker_id
    assert scene.runs.release([Delivery(run_id, 1)], worker_id=worker_id) == [run_id]


def test_a_start_is_not_recorded_once_another_worker_took_the_run_over(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id, other = scene.accept(), scene.worker()
    reserve(scene, run_id, worker_id)
    scene.workers.end(worker_id)
    reserve(scene, run_id, other)
    assert not begin(scene, run_id, worker_id)
    assert begin(scene, run_id, other)


def test_a_start_of_an_older_dispatch_is_not_recorded(scene: Scene, worker_id: WorkerId) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    scene.backdate(run_id, "held_at", 60)
    scene.disclaim(worker_id)
    assert scene.runs.redispatch([seen(scene, run_id, Reason.MESSAGE_LOST)])
    reserve(scene, run_id, worker_id, dispatch=2)
    assert not begin(scene, run_id, worker_id)
    assert begin(scene, run_id, worker_id, dispatch=2)


def test_a_start_is_recorded_as_the_attempt_that_was_reserved(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    assert not begin(scene, run_id, worker_id, attempt=2)
    assert begin(scene, run_id, worker_id)


def test_a_running_run_is_not_failed_by_a_duplicate_of_its_delivery(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert scene.runs.reject([Rejection(run_id, 1, Reason.AGE_LIMIT_EXCEEDED)]) == []
    assert scene.row(run_id)["status"] == "running"


def test_a_completed_run_forgets_where_late_messages_went(scene: Scene) -> None:
    run_id = scene.accept()
    scene.runs.cancel([run_id], by="ada")
    before = scene.row(run_id)
    assert scene.runs.sent([Sending(run_id, 1, "default", "late")]) == []
    assert scene.row(run_id) == before


@pytest.mark.parametrize("reason", ON_QUEUED)
def test_what_is_in_a_live_workers_hands_is_left_to_it(
    scene: Scene, worker_id: WorkerId, reason: Reason
) -> None:
    run_id = scene.accept()
    for moment in ("stale_at", "wait_until"):
        scene.backdate(run_id, moment, 9000)
    reserve(scene, run_id, worker_id)
    judged = seen(scene, run_id, reason)
    assert scene.runs.close([judged]) == []
    assert scene.runs.redispatch([judged]) == []
    assert begin(scene, run_id, worker_id)


def test_a_cancelled_run_is_not_one_that_a_worker_may_have_begun(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    assert scene.runs.cancel([run_id], by="ada") == {run_id: Cancelled.REQUESTED}
    assert begin(scene, run_id, worker_id)
    assert report(scene, "finish", run_id, worker_id) is Recorded.MOVED


@pytest.mark.parametrize("other", [{"attempt": 1}, {"dispatch": 0}, {"message_ref": "another"}])
def test_a_verdict_on_anything_but_what_is_there_writes_nothing(
    scene: Scene, other: dict[str, Any]
) -> None:
    run_id = scene.accept()
    judged = seen(scene, run_id, Reason.MESSAGE_LOST, **other)
    assert scene.runs.close([judged]) == []
    assert scene.runs.redispatch([judged]) == []
    if "message_ref" not in other:
        sighting = Sighting(run_id, judged.attempt, judged.dispatch, {})
        assert scene.runs.put_off([sighting]) == []


def test_an_age_that_cannot_be_true_does_not_make_a_fresh_attempt_stale(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    # Two hours, of a run that was fetched just now: its worker's clock has jumped.
    scene.runs.begin([Beginning(run_id, 1, 1, worker_id, age_s=7200.0)])
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id])
    assert scene.runs.close([seen(scene, run_id, Reason.STALE_RUNNING)]) == []
    assert report(scene, "finish", run_id, worker_id) is Recorded.MOVED
