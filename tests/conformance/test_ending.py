"""Ending runs: once, by the current attempt, whatever reports late; on both databases."""

from __future__ import annotations

import json

import peewee
import pytest

from lastword.identity import RunId, WorkerId
from lastword.reading.runs import show_run
from lastword.reasons import Reason
from lastword.service.values import AttemptEnd, Recorded, Rejection, Retry
from lastword.service.workers import Progress
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from tests.support import Scene


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def worker_id(scene: Scene) -> WorkerId:
    return scene.worker()


def running(scene: Scene, worker_id: WorkerId) -> RunId:
    run_id = scene.accept()
    assert scene.claim(run_id, worker_id).refusal is None
    return run_id


def success(run_id: RunId, worker_id: WorkerId, *, attempt: int = 1) -> AttemptEnd:
    return AttemptEnd(
        run_id, attempt, worker_id, Outcome.SUCCEEDED, counts={"total": 3}, context={"a": 1}
    )


def failure(run_id: RunId, worker_id: WorkerId) -> AttemptEnd:
    return AttemptEnd(
        run_id,
        1,
        worker_id,
        Outcome.FAILED,
        Reason.RETRIES_EXHAUSTED,
        failures=[{"code": "throttled", "message": "Too fast."}],
        diagnostics="Traceback: secret words",
    )


def retry(run_id: RunId, worker_id: WorkerId, *, attempt: int = 1, retries: int = 1) -> Retry:
    return Retry(run_id, attempt, worker_id, 2.0, retries, Reason.THROTTLED, "Traceback")


def test_a_success_is_the_last_word(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert scene.runs.finish([success(run_id, worker_id)]) == {run_id: Recorded.MOVED}
    row = scene.row(run_id)
    assert (row["status"], row["outcome"], row["closed_by"]) == ("completed", "succeeded", "worker")
    assert (json.loads(row["summary_counts"]), json.loads(row["context"])) == (
        {"total": 3},
        {"a": 1},
    )
    assert row["stale_at"] is None
    assert [event["terminal"] for event in scene.events(run_id)] == [False, False, True]


def test_a_failure_keeps_its_reason_apart_from_its_diagnostics(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    scene.runs.fail([failure(run_id, worker_id)])
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"], row["closed_by"]) == (
        "failed",
        "retries_exhausted",
        "bridge",
    )
    assert json.loads(row["reconciliation"])["source"] == "bridge"
    assert "secret words" not in json.dumps(row)
    assert "secret words" not in json.dumps(scene.events(run_id))
    with scene.ledger.session():
        [attempt] = scene.ledger.execute("SELECT * FROM lastword_attempt")
    assert (attempt["ending"], attempt["diagnostics"]) == ("failed", "Traceback: secret words")


@pytest.mark.parametrize("words", ["a\0b", "\udc80.txt", "\ud83d", "ü" * 30_000])
def test_an_end_is_not_lost_over_the_words_of_its_exception(
    scene: Scene, worker_id: WorkerId, words: str
) -> None:
    run_id = running(scene, worker_id)
    end = AttemptEnd(
        run_id,
        1,
        worker_id,
        Outcome.FAILED,
        Reason.UNKNOWN_ERROR,
        failures=[{"code": "unknown_error", "message": words}],
        context={words: [words]},
        diagnostics=words,
    )
    assert scene.runs.fail([end]) == {run_id: Recorded.MOVED}
    assert show_run(scene.ledger, run_id, labels={})["attempts"][0]["diagnostics"]


def test_a_report_whose_answer_was_lost_may_be_repeated(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.runs.finish([success(run_id, worker_id)])
    assert scene.runs.finish([success(run_id, worker_id)]) == {run_id: Recorded.ALREADY}
    assert scene.kinds(run_id) == ["accepted", "claimed", "completed"]


def test_a_late_success_does_not_overwrite_a_closed_run(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.runs.fail([failure(run_id, worker_id)])
    assert scene.runs.finish([success(run_id, worker_id)]) == {run_id: Recorded.LATE}
    assert scene.row(run_id)["outcome"] == "failed"
    assert scene.kinds(run_id)[-1] == "late_result"


def test_a_late_result_is_noted_once_per_attempt(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.runs.fail([failure(run_id, worker_id)])
    for _ in range(3):
        scene.runs.finish([success(run_id, worker_id)])
    assert scene.kinds(run_id).count("late_result") == 1


def test_an_attempt_of_another_worker_ends_nothing(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert scene.runs.finish([success(run_id, scene.worker())]) == {run_id: Recorded.LATE}
    assert scene.row(run_id)["status"] == "running"


def test_a_retry_goes_back_to_the_queue_under_the_next_dispatch(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    assert scene.runs.retry([retry(run_id, worker_id)]) == {run_id: 2}
    row = scene.row(run_id)
    assert (row["status"], row["attempt"], row["retries"], row["reason"]) == ("queued", 1, 1, None)
    assert row["available_at"] - row["changed_at"] == 2000
    assert scene.claim(run_id, worker_id, dispatch=1).refusal == "superseded"
    assert scene.claim(run_id, worker_id, dispatch=2).attempt == 2


def test_a_retry_whose_answer_was_lost_may_be_repeated(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    assert scene.runs.retry([retry(run_id, worker_id)]) == {run_id: 2}
    assert scene.runs.retry([retry(run_id, worker_id)]) == {run_id: 2}
    assert scene.kinds(run_id) == ["accepted", "claimed", "retry_scheduled"]


def test_a_retry_of_a_closed_run_is_not_sent(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.runs.fail([failure(run_id, worker_id)])
    assert scene.runs.retry([retry(run_id, worker_id)]) == {}


def test_a_zombie_attempt_cannot_end_its_successor(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)
    scene.runs.retry([retry(run_id, worker_id)])
    scene.claim(run_id, worker_id, dispatch=2)
    assert scene.runs.finish([success(run_id, worker_id)]) == {run_id: Recorded.LATE}
    assert scene.runs.finish([success(run_id, worker_id, attempt=2)]) == {run_id: Recorded.MOVED}


def test_a_rejected_delivery_fails_its_run_at_once(scene: Scene) -> None:
    run_id = scene.accept()
    stale = Rejection(run_id, 0, Reason.UNKNOWN_ACTOR)
    assert scene.runs.reject([stale]) == []
    assert scene.runs.reject([Rejection(run_id, 1, Reason.UNKNOWN_ACTOR)]) == [run_id]
    assert scene.row(run_id)["reason"] == "unknown_actor"


def test_a_batch_moves_those_that_may_move_and_says_which(
    scene: Scene, worker_id: WorkerId
) -> None:
    ready, closed = running(scene, worker_id), running(scene, worker_id)
    scene.runs.fail([failure(closed, worker_id)])
    recorded = scene.runs.finish(
        [
            success(ready, worker_id),
            success(closed, worker_id),
            success(RunId("nobody"), worker_id),
        ]
    )
    assert recorded == {ready: Recorded.MOVED, closed: Recorded.LATE}


def test_progress_is_kept_for_the_current_attempt_only(scene: Scene, worker_id: WorkerId) -> None:
    run_id = running(scene, worker_id)

    def beat(attempt: int, done: int) -> None:
        alive = scene.workers.heartbeat(
            worker_id,
            lease_ttl_s=60,
            working=[run_id],
            progress=[Progress(run_id, attempt, {"processed": done})],
        )
        assert alive

    beat(1, 700)
    beat(0, 5)
    assert json.loads(scene.row(run_id)["summary_counts"]) == {"processed": 700}


def test_events_cannot_be_changed(scene: Scene, worker_id: WorkerId) -> None:
    running(scene, worker_id)
    with pytest.raises(peewee.PeeweeException, match="append-only"), scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_event SET kind = 'forged'")


def test_the_database_itself_refuses_a_second_terminal_event(
    scene: Scene, worker_id: WorkerId
) -> None:
    run_id = running(scene, worker_id)
    scene.runs.finish([success(run_id, worker_id)])
    copy = (
        "INSERT INTO lastword_event (run_id, at, kind, source, attempt, outcome, terminal) "
        "SELECT run_id, at, kind, source, attempt, outcome, terminal FROM lastword_event "
        "WHERE terminal"
    )
    with pytest.raises(peewee.IntegrityError), scene.ledger.transaction():
        scene.ledger.execute(copy)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'paused'",
        "outcome = 'succeeded'",
        "status = 'completed'",
        "stale_at = NULL",
        "completed_at = 1",
    ],
)
def test_the_database_itself_refuses_a_state_that_cannot_be(
    scene: Scene, worker_id: WorkerId, change: str
) -> None:
    running(scene, worker_id)
    with pytest.raises(peewee.IntegrityError), scene.ledger.transaction():
        scene.ledger.execute(f"UPDATE lastword_run SET {change}")
