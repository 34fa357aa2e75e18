"""The verbs of reconcilers: guarded by the state and the evidence they were decided on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lastword.identity import RunId
from lastword.reasons import Reason
from lastword.service.cancelling import Cancelled
from lastword.service.values import AttemptEnd, Recorded, Sending, Sighting, Verdict
from lastword.states import Outcome, Status
from lastword.storage.clock import now_ms
from lastword.storage.ledger import Ledger
from tests.support import Scene


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def verdict(scene: Scene, run_id: RunId, reason: Reason, **changes: Any) -> Verdict:
    row = scene.row(run_id)
    fields = {
        "run_id": run_id,
        "status": Status(row["status"]),
        "attempt": row["attempt"],
        "dispatch": row["dispatch"],
        "message_ref": row["message_ref"],
        "reason": reason,
        "evidence": {"worker": {"lease": "expired"}},
        **changes,
    }
    return Verdict(**fields)


def lost_run(scene: Scene) -> RunId:
    """A run whose worker has gone silent."""
    run_id, worker_id = scene.accept(), scene.worker()
    scene.claim(run_id, worker_id)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
    return run_id


def test_a_lost_run_is_queued_again_and_its_loss_counted(scene: Scene) -> None:
    run_id = lost_run(scene)
    [sent] = scene.runs.redispatch([verdict(scene, run_id, Reason.WORKER_LOST, charged=True)])
    assert (sent.run_id, sent.dispatch, sent.payload, sent.delay_ms) == (run_id, 2, "{}", 0)
    row = scene.row(run_id)
    assert (row["status"], row["lost_deliveries"], row["reason"]) == ("queued", 1, None)
    event = scene.events(run_id)[-1]
    assert (event["kind"], event["source"], event["reason"]) == (
        "redispatched",
        "generic",
        "worker_lost",
    )
    assert json.loads(event["detail"])["reconciliation"]


def test_a_run_whose_worker_came_back_is_left_alone(scene: Scene) -> None:
    run_id = lost_run(scene)
    judged = verdict(scene, run_id, Reason.WORKER_LOST)
    with scene.ledger.transaction():
        scene.ledger.execute(
            "UPDATE lastword_worker SET lease_until = lease_until + 99999999999999"
        )
    assert scene.runs.redispatch([judged]) == []
    assert scene.runs.close([judged]) == []
    assert scene.row(run_id)["status"] == "running"


def test_a_verdict_on_a_run_that_finished_meanwhile_writes_nothing(scene: Scene) -> None:
    run_id = lost_run(scene)
    judged = verdict(scene, run_id, Reason.WORKER_LOST)
    worker_id = scene.row(run_id)["worker_id"]
    ends = scene.runs.finish([AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED)])
    assert ends == {run_id: Recorded.MOVED}
    assert scene.runs.close([judged]) == []
    assert scene.runs.redispatch([judged]) == []
    assert scene.row(run_id)["outcome"] == "succeeded"


def test_the_same_verdict_twice_acts_once(scene: Scene) -> None:
    run_id = lost_run(scene)
    judged = verdict(scene, run_id, Reason.WORKER_LOST)
    assert len(scene.runs.redispatch([judged, judged])) == 1
    assert scene.runs.redispatch([judged]) == []
    assert scene.row(run_id)["dispatch"] == 2


def test_an_attempt_that_its_worker_lists_after_all_is_not_abandoned(scene: Scene) -> None:
    run_id, worker_id = scene.accept(), scene.worker()
    scene.claim(run_id, worker_id)
    judged = verdict(scene, run_id, Reason.ATTEMPT_ABANDONED)
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id])
    assert scene.runs.redispatch([judged]) == []
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[])
    assert len(scene.runs.redispatch([judged])) == 1


def test_a_closed_run_says_who_closed_it_and_on_what_evidence(scene: Scene) -> None:
    run_id = lost_run(scene)
    judged = verdict(scene, run_id, Reason.WORKER_LOST, threshold_s=30.0, age_s=31.5)
    assert scene.runs.close([judged]) == [run_id]
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"], row["closed_by"]) == ("failed", "worker_lost", "generic")
    told = json.loads(row["reconciliation"])
    assert told["evidence"] == {"worker": {"lease": "expired"}}
    assert (told["threshold_s"], told["age_s"]) == (30.0, 31.5)
    assert told["sentence"].endswith(".")


def test_a_running_run_inside_its_limit_is_never_closed_as_stale(scene: Scene) -> None:
    run_id = scene.accept()
    scene.claim(run_id, scene.worker())
    judged = verdict(scene, run_id, Reason.STALE_RUNNING)
    assert scene.runs.close([judged]) == []
    scene.backdate(run_id, "stale_at", 60)
    assert scene.runs.close([judged]) == [run_id]


def test_a_queued_run_whose_message_moved_on_is_not_called_lost(scene: Scene) -> None:
    run_id = scene.accept()
    judged = verdict(scene, run_id, Reason.MESSAGE_LOST)
    scene.runs.sent([Sending(run_id, 1, "default", "a-new-place")])
    assert scene.runs.redispatch([judged]) == []
    assert scene.runs.redispatch([verdict(scene, run_id, Reason.MESSAGE_LOST)])


def test_a_run_is_closed_for_waiting_too_long_only_when_it_has(scene: Scene) -> None:
    run_id = scene.accept()
    judged = verdict(scene, run_id, Reason.QUEUE_WAIT_EXCEEDED)
    assert scene.runs.close([judged]) == []
    scene.backdate(run_id, "wait_until", 4000)
    assert scene.runs.close([judged]) == [run_id]


def test_a_delayed_run_that_is_sent_again_keeps_its_delay(scene: Scene) -> None:
    run_id = scene.accept(delay_s=100)
    [sent] = scene.runs.redispatch([verdict(scene, run_id, Reason.MESSAGE_LOST)])
    assert 90_000 < sent.delay_ms <= 100_000


def test_a_sighting_puts_a_verdict_off_but_never_beyond_the_longest_wait(scene: Scene) -> None:
    run_id = scene.accept()
    sighting = Sighting(run_id, 0, 1, {"message": {"state": "ready"}})
    scene.backdate(run_id, "stale_at", 30)
    assert scene.runs.put_off([sighting]) == [run_id]
    row = scene.row(run_id)
    assert row["stale_at"] > row["created_at"] + 19_000
    assert json.loads(row["evidence"])["message"]["state"] == "ready"
    scene.backdate(run_id, "wait_until", 3595)
    scene.runs.put_off([sighting])
    row = scene.row(run_id)
    assert row["stale_at"] == row["wait_until"]


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_asked_to_stop(scene: Scene) -> None:
    queued, running, ended = scene.accept(), scene.accept(), scene.accept()
    scene.claim(running, scene.worker())
    scene.runs.cancel([ended], by="ada")
    answer = scene.runs.cancel([queued, running, ended], by="ada")
    assert answer == {queued: Cancelled.CANCELLED, running: Cancelled.REQUESTED}
    assert scene.row(queued)["outcome"] == "cancelled"
    row = scene.row(running)
    assert (row["status"], row["cancel_requested_by"]) == ("running", "ada")
    assert scene.runs.cancel([running], by="bob") == {running: Cancelled.REQUESTED}
    assert scene.row(running)["cancel_requested_by"] == "ada"
    assert scene.kinds(running) == ["accepted", "claimed", "cancel_requested"]


def test_workers_are_lost_by_the_databases_clock(scene: Scene) -> None:
    silent, alive = scene.worker(lease_ttl_s=0), scene.worker()
    assert scene.workers.lose_expired(now_ms(scene.ledger)) == [silent]
    assert scene.workers.lose_expired(now_ms(scene.ledger)) == []
    assert not scene.workers.heartbeat(silent, lease_ttl_s=60, working=[])
    assert scene.workers.heartbeat(alive, lease_ttl_s=60, working=[])


def test_a_worker_ends_once(scene: Scene) -> None:
    worker_id = scene.worker()
    scene.workers.end(worker_id)
    scene.workers.end(worker_id)
    assert scene.workers.lose_expired(now_ms(scene.ledger)) == []
