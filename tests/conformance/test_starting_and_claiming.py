"""Accepting and claiming runs: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading

import pytest

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, new_run_id
from lastword.reasons import Reason
from lastword.service.requests import Acceptance, Denial, NewRun
from lastword.service.values import Delivery, Refusal, Sending
from lastword.storage.ledger import Ledger
from tests.support import Scene, policy


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def request(**fields: object) -> NewRun:
    values = {
        "run_id": new_run_id(),
        "policy": policy(),
        "actor_name": "build_report",
        "payload": "{}",
        **fields,
    }
    return NewRun(**values)  # type: ignore[arg-type]


def test_an_accepted_run_is_queued_with_its_limits_and_one_event(scene: Scene) -> None:
    run_id = scene.accept(delay_s=3)
    row = scene.row(run_id)
    assert (row["status"], row["outcome"], row["attempt"], row["dispatch"]) == (
        "queued",
        "pending",
        0,
        1,
    )
    assert row["available_at"] - row["created_at"] == 3000
    assert row["stale_at"] - row["available_at"] == 20_000
    assert row["wait_until"] - row["available_at"] == 3_600_000
    assert scene.kinds(run_id) == ["accepted"]


def test_many_requests_are_answered_in_order_by_one_statement(scene: Scene) -> None:
    requests = [request() for _ in range(200)]
    accepted = scene.runs.accept(requests)
    assert [answer.run_id for answer in accepted] == [item.run_id for item in requests]
    assert {answer.result for answer in accepted} == {Acceptance.ACCEPTED}


def test_a_second_start_of_the_same_identity_finds_the_active_run(scene: Scene) -> None:
    first = scene.accept(identity_hash="same", initiator_name="Ada")
    [second] = scene.runs.accept([request(identity_hash="same", initiator_name="Bob")])
    assert (second.run_id, second.result) == (first, Acceptance.DEDUPED)
    assert scene.row(first)["initiator_name"] == "Ada"


def test_an_identity_is_free_again_once_its_run_is_completed(scene: Scene) -> None:
    first = scene.accept(identity_hash="same")
    scene.runs.cancel([first], by="ada")
    [second] = scene.runs.accept([request(identity_hash="same")])
    assert second.result is Acceptance.ACCEPTED


def test_a_start_finds_the_active_run_and_none_that_was_refused_since(scene: Scene) -> None:
    active = scene.accept(identity_hash="same")
    denial = Denial(Reason.WRITE_GATE_BLOCKED, "Writing is closed.")
    scene.runs.refuse([request(identity_hash="same", denial=denial)])
    [second] = scene.runs.accept([request(identity_hash="same")])
    assert (second.run_id, second.result) == (active, Acceptance.DEDUPED)


def test_two_requests_of_one_identity_in_one_batch_make_one_run(scene: Scene) -> None:
    first, second = scene.runs.accept(
        [request(identity_hash="same"), request(identity_hash="same")]
    )
    assert first.run_id == second.run_id
    assert [first.result, second.result] == [Acceptance.ACCEPTED, Acceptance.DEDUPED]


def test_accepting_a_run_again_changes_nothing(scene: Scene) -> None:
    again = request()
    scene.runs.accept([again])
    [answer] = scene.runs.accept([again])
    assert answer.result is Acceptance.DEDUPED
    assert scene.kinds(again.run_id) == ["accepted"]


def test_an_accept_rolled_back_by_its_application_leaves_nothing(scene: Scene) -> None:
    lost = request()

    def change_ones_mind() -> None:
        with scene.ledger.transaction():
            scene.runs.accept([lost])
            raise KeyError

    with pytest.raises(KeyError):
        change_ones_mind()
    [answer] = scene.runs.accept([lost])
    assert answer.result is Acceptance.ACCEPTED
    assert scene.kinds(lost.run_id) == ["accepted"]


def test_of_many_threads_that_start_one_identity_one_is_accepted(scene: Scene) -> None:
    answers: list[Acceptance] = []
    ready = threading.Barrier(6)

    def start() -> None:
        ready.wait()
        [answer] = scene.runs.accept([request(identity_hash="same")])
        answers.append(answer.result)
        scene.ledger.close() if scene.ledger.dialect.param == "?" else None

    in_threads(start, 6)
    assert sorted(answers) == [Acceptance.ACCEPTED, *[Acceptance.DEDUPED] * 5]


def test_a_claim_starts_the_run_under_the_workers_id(scene: Scene) -> None:
    worker_id, run_id = scene.worker(), scene.accept()
    claim = scene.claim(run_id, worker_id)
    assert (claim.attempt, claim.refusal, claim.worker_id) == (1, None, worker_id)
    row = scene.row(run_id)
    assert (row["status"], row["worker_id"], row["attempt"]) == ("running", worker_id, 1)
    assert row["stale_at"] - row["claimed_at"] == 30_000
    assert scene.kinds(run_id) == ["accepted", "claimed"]


def test_of_many_workers_that_claim_one_delivery_one_may_start(scene: Scene) -> None:
    run_id = scene.accept()
    workers = [scene.worker() for _ in range(6)]
    refusals: list[Refusal | None] = []
    ready = threading.Barrier(6)

    def claim() -> None:
        worker_id = workers.pop()
        ready.wait()
        refusals.append(scene.claim(run_id, worker_id).refusal)
        scene.ledger.close() if scene.ledger.dialect.param == "?" else None

    in_threads(claim, 6)
    assert refusals.count(None) == 1
    assert refusals.count(Refusal.RUNNING) == 5
    assert scene.kinds(run_id) == ["accepted", "claimed"]


def test_equal_deliveries_in_one_batch_start_one_attempt(scene: Scene) -> None:
    worker_id, run_id = scene.worker(), scene.accept()
    first, second = scene.runs.claim(
        [Delivery(run_id, 1), Delivery(run_id, 1)], worker_id=worker_id
    )
    assert first.refusal is None
    assert second.refusal is Refusal.RUNNING


def test_a_delivery_of_a_completed_run_is_refused(scene: Scene) -> None:
    worker_id, run_id = scene.worker(), scene.accept()
    scene.runs.cancel([run_id], by="ada")
    assert scene.claim(run_id, worker_id).refusal is Refusal.COMPLETED


def test_a_delivery_of_an_older_dispatch_is_refused(scene: Scene) -> None:
    worker_id, run_id = scene.worker(), scene.accept()
    assert scene.claim(run_id, worker_id, dispatch=0).refusal is Refusal.SUPERSEDED


def test_a_delivery_of_an_unknown_run_is_refused(scene: Scene) -> None:
    assert scene.claim(RunId("nobody"), scene.worker()).refusal is Refusal.UNKNOWN_RUN


def test_a_worker_without_a_live_lease_may_not_start_anything(scene: Scene) -> None:
    run_id = scene.accept()
    silent = scene.worker(lease_ttl_s=0)
    assert scene.claim(run_id, silent).refusal is Refusal.LEASE_LOST
    ended = scene.worker()
    scene.workers.end(ended)
    assert scene.claim(run_id, ended).refusal is Refusal.LEASE_LOST
    assert scene.row(run_id)["status"] == "queued"


def test_a_claim_whose_answer_was_lost_gives_the_same_attempt_again(scene: Scene) -> None:
    worker_id, run_id = scene.worker(), scene.accept()
    first, again = scene.claim(run_id, worker_id), scene.claim(run_id, worker_id)
    assert (again.attempt, again.refusal) == (first.attempt, None)
    assert scene.kinds(run_id) == ["accepted", "claimed"]


def test_only_the_current_dispatch_says_where_its_message_is(scene: Scene) -> None:
    run_id = scene.accept()
    assert scene.runs.sent([Sending(run_id, 1, "default", "ref-1")]) == [run_id]
    assert scene.runs.sent([Sending(run_id, 2, "default", "ref-2")]) == []
    assert scene.row(run_id)["message_ref"] == "ref-1"


def test_a_database_that_is_not_there_is_one_clear_error(tmp_path: object) -> None:
    from lastword.storage.opening import open_ledger

    away = open_ledger("postgresql://app:hunter2@127.0.0.1:1/app")
    with pytest.raises(LedgerUnavailable) as caught:
        Scene(away).accept()
    assert "127.0.0.1:1" in caught.value.sentence
    assert "hunter2" not in caught.value.sentence


def in_threads(work: object, count: int) -> None:
    assert callable(work)
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
