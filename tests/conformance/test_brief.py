"""Attempts that were over before their start was written: nothing tells them from others."""

from __future__ import annotations

import pytest

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.values import AttemptEnd, Beginning, Delivery, Recorded, Verdict
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger, Row
from tests.support import Scene

#: Columns that two runs cannot share: whose they are, and when it was.
OWN = {
    *("id", "run_id", "at", "held_at", "created_at", "available_at", "started_at", "claimed_at"),
    *("changed_at", "completed_at", "ended_at", "sent_at"),
}


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def worker_id(scene: Scene) -> WorkerId:
    return scene.worker()


def reserved(scene: Scene, worker_id: WorkerId) -> RunId:
    run_id = scene.accept()
    reserve(scene, run_id, worker_id)
    return run_id


def reserve(scene: Scene, run_id: RunId, worker_id: WorkerId, dispatch: int = 1) -> None:
    [answer] = scene.runs.reserve([Delivery(run_id, dispatch)], worker_id=worker_id)
    assert answer.refusal is None


def brief(
    run_id: RunId, worker_id: WorkerId, *, dispatch: int = 1, attempt: int = 1
) -> tuple[Beginning, AttemptEnd]:
    end = AttemptEnd(run_id, attempt, worker_id, Outcome.SUCCEEDED, counts={"processed": 3})
    return Beginning(run_id, dispatch, attempt, worker_id, age_s=0.002), end


def recorded(
    scene: Scene, run_id: RunId, worker_id: WorkerId, *, dispatch: int = 1, attempt: int = 1
) -> Recorded:
    pair = brief(run_id, worker_id, dispatch=dispatch, attempt=attempt)
    return scene.runs.begin_and_finish([pair])[run_id]


def story(scene: Scene, run_id: RunId) -> list[Row]:
    """The run, its attempts and its events, without what is its own."""
    with scene.ledger.session():
        attempts = scene.ledger.execute(
            f"SELECT * FROM lastword_attempt WHERE run_id = {scene.ledger.dialect.param}", run_id
        )
    rows = [scene.row(run_id), *attempts, *scene.events(run_id)]
    return [{key: value for key, value in row.items() if key not in OWN} for row in rows]


def test_what_is_written_at_once_is_what_would_be_written_after_each_other(
    scene: Scene, worker_id: WorkerId
) -> None:
    slow, short = (reserved(scene, worker_id) for _ in range(2))
    start, end = brief(slow, worker_id)
    assert scene.runs.begin([start]) == [slow]
    assert scene.runs.finish([end]) == {slow: Recorded.MOVED}
    assert recorded(scene, short, worker_id) is Recorded.MOVED
    assert story(scene, short) == story(scene, slow)
    row = scene.row(short)
    assert row["held_at"] is None
    assert row["created_at"] <= row["claimed_at"] == row["started_at"] <= row["completed_at"]
    [*_, claimed, completed] = scene.events(short)
    assert (claimed["kind"], claimed["at"]) == ("claimed", row["claimed_at"])
    assert (completed["kind"], completed["at"]) == ("completed", row["completed_at"])


def test_a_report_that_is_repeated_is_known(scene: Scene, worker_id: WorkerId) -> None:
    run_id = reserved(scene, worker_id)
    assert recorded(scene, run_id, worker_id) is Recorded.MOVED
    before = story(scene, run_id)
    assert recorded(scene, run_id, worker_id) is Recorded.ALREADY
    assert story(scene, run_id) == before


def test_one_that_was_sent_again_since_is_late(scene: Scene, worker_id: WorkerId) -> None:
    run_id = reserved(scene, worker_id)
    scene.backdate(run_id, "held_at", 60)
    scene.disclaim(worker_id)
    lost = Verdict(run_id, Status.QUEUED, 0, 1, Reason.MESSAGE_LOST, {})
    assert scene.runs.redispatch([lost])
    reserve(scene, run_id, worker_id, dispatch=2)
    assert recorded(scene, run_id, worker_id) is Recorded.LATE
    assert scene.row(run_id)["status"] == "queued"
    assert recorded(scene, run_id, worker_id, dispatch=2) is Recorded.MOVED


def test_one_that_another_worker_took_over_is_late(scene: Scene, worker_id: WorkerId) -> None:
    run_id, other = reserved(scene, worker_id), scene.worker()
    scene.workers.end(worker_id)
    reserve(scene, run_id, other)
    assert recorded(scene, run_id, worker_id) is Recorded.LATE
    assert scene.row(run_id)["holder"] == other


def test_one_of_another_number_than_was_reserved_is_late(scene: Scene, worker_id: WorkerId) -> None:
    run_id = reserved(scene, worker_id)
    assert recorded(scene, run_id, worker_id, attempt=2) is Recorded.LATE
    assert scene.row(run_id)["status"] == "queued"


def test_one_with_children_waits_for_them(scene: Scene, worker_id: WorkerId) -> None:
    run_id = reserved(scene, worker_id)
    child = scene.accept(parent_id=run_id)
    assert recorded(scene, run_id, worker_id) is Recorded.WAITING
    assert scene.row(run_id)["status"] == "running"
    scene.claim(child, worker_id)
    scene.runs.finish([AttemptEnd(child, 1, worker_id, Outcome.SUCCEEDED)])
    assert scene.row(run_id)["outcome"] == "succeeded"


def test_one_that_cannot_be_written_so_holds_up_no_other(scene: Scene, worker_id: WorkerId) -> None:
    runs = [reserved(scene, worker_id) for _ in range(3)]
    parent = runs[1]
    scene.accept(parent_id=parent)
    pairs = [brief(run_id, worker_id) for run_id in runs]
    assert scene.runs.begin_and_finish(pairs) == {
        runs[0]: Recorded.MOVED, parent: Recorded.WAITING, runs[2]: Recorded.MOVED,
    }  # fmt: skip
    assert scene.runs.begin_and_finish([]) == {}


def test_a_parent_hears_of_a_child_that_was_brief(scene: Scene, worker_id: WorkerId) -> None:
    parent = scene.accept()
    scene.claim(parent, worker_id)
    child = scene.accept(parent_id=parent)
    reserve(scene, child, worker_id)
    ended = scene.runs.finish([AttemptEnd(parent, 1, worker_id, Outcome.SUCCEEDED)])
    assert ended == {parent: Recorded.WAITING}
    assert recorded(scene, child, worker_id) is Recorded.MOVED
    assert scene.row(parent)["status"] == "completed"
