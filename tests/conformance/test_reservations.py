"""What may be reserved, disowned, drained and asked to stop, and what not: on both databases."""

from __future__ import annotations

import json

import pytest

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.draining import request_drain
from lastword.service.values import AttemptEnd, Delivery, Refusal
from lastword.service.workers import Progress
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from tests.support import Scene


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def sent(scene: Scene) -> RunId:
    """A run whose message is in the broker."""
    return scene.accept(message_queue="default", message_ref="its-own")


def message_ref(scene: Scene, run_id: RunId) -> object:
    return scene.row(run_id)["message_ref"]


def test_a_run_that_works_is_not_reserved_again_by_anybody(scene: Scene) -> None:
    run_id, worker_id, other = sent(scene), scene.worker(), scene.worker()
    scene.claim(run_id, worker_id)
    for asking in (worker_id, other):
        [held] = scene.runs.reserve([Delivery(run_id, 1)], worker_id=asking)
        assert held.refusal is Refusal.RUNNING
    assert scene.row(run_id)["holder"] is None


def test_a_run_is_without_a_message_once_its_own_is_disowned(scene: Scene) -> None:
    run_id = sent(scene)
    scene.runs.disown([Delivery(run_id, 1)], message_ref="its-own")
    assert message_ref(scene, run_id) is None


def test_a_message_of_another_dispatch_is_not_the_runs_to_lose(scene: Scene) -> None:
    run_id = sent(scene)
    scene.runs.disown([Delivery(run_id, 2)], message_ref="its-own")
    assert message_ref(scene, run_id) == "its-own"


def test_a_message_that_was_never_the_runs_takes_none_from_it(scene: Scene) -> None:
    run_id = sent(scene)
    scene.runs.disown([Delivery(run_id, 1)], message_ref="a-strangers")
    assert message_ref(scene, run_id) == "its-own"


def test_a_run_that_works_keeps_the_message_that_is_disowned_late(scene: Scene) -> None:
    run_id = sent(scene)
    scene.claim(run_id, scene.worker())
    scene.runs.disown([Delivery(run_id, 1)], message_ref="its-own")
    assert message_ref(scene, run_id) == "its-own"


def test_a_worker_that_has_ended_is_not_asked_to_drain(scene: Scene) -> None:
    ended, alive = scene.worker(), scene.worker()
    scene.workers.end(ended)
    assert request_drain(scene.ledger, [ended, alive], by="ada") == [alive]


def test_a_worker_hears_no_more_of_a_request_once_its_run_has_ended(scene: Scene) -> None:
    run_id, worker_id = sent(scene), scene.worker()
    scene.claim(run_id, worker_id)

    def asked(of: WorkerId = worker_id) -> object:
        beat = scene.workers.heartbeat(of, lease_ttl_s=60, working=[], listed_at_ms=0)
        assert beat is not None
        return beat.cancel

    assert asked() == frozenset()
    scene.runs.cancel([run_id], by="ada")
    assert asked() == {run_id}
    assert asked(scene.worker()) == frozenset()
    end = AttemptEnd(run_id, 1, worker_id, Outcome.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
    scene.runs.cancelled([end])
    assert asked() == frozenset()


def test_what_another_worker_has_taken_is_no_longer_current_for_the_one_before(
    scene: Scene,
) -> None:
    run_id, slow, quick = sent(scene), scene.worker(), scene.worker()
    scene.runs.reserve([Delivery(run_id, 1)], worker_id=slow)
    with scene.ledger.transaction():
        scene.ledger.execute(
            f"UPDATE lastword_worker SET lease_until = 0 WHERE id = {scene.ledger.dialect.param}",
            slow,
        )
    scene.runs.reserve([Delivery(run_id, 1)], worker_id=quick)
    for worker_id, current in ((quick, {run_id: 1}), (slow, {})):
        beat = scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id], listed_at_ms=0)
        assert beat is not None
        assert beat.current == current


def test_a_late_beat_does_not_change_the_counts_of_a_run_that_has_ended(scene: Scene) -> None:
    run_id, worker_id = sent(scene), scene.worker()
    scene.claim(run_id, worker_id)
    end = AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED, None, counts={"processed": 7})
    scene.runs.finish([end])
    late = [Progress(run_id, 1, {"processed": 5})]
    beat = scene.workers.heartbeat(
        worker_id, lease_ttl_s=60, working=[run_id], listed_at_ms=0, progress=late
    )
    assert beat is not None
    assert beat.saved == frozenset()
    assert json.loads(scene.row(run_id)["summary_counts"]) == {"processed": 7}


@pytest.mark.parametrize("place", [("default", "another"), ("another", "its-own")])
def test_a_message_that_cannot_be_read_ends_only_the_run_it_is_of(
    scene: Scene, place: tuple[str, str]
) -> None:
    run_id = sent(scene)
    queue, ref = place
    for message_queue, message_ref, status in (
        (queue, ref, "queued"),
        ("default", "its-own", "completed"),
    ):
        scene.runs.reject_message(
            message_queue=message_queue,
            message_ref=message_ref,
            reason=Reason.UNDECODABLE_MESSAGE,
            worker_id=None,
        )
        assert scene.row(run_id)["status"] == status
