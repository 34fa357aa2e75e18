"""Starts that must be recorded first: many with one commit, and each with an answer of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId
from lastword.service.values import AttemptEnd, Claim, Delivery, Refusal
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword_middleware.truths import Asked, Ended
from lastword_middleware.writing import Writer
from tests.support import Scene, until

THREADS = 8


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def worker_id(scene: Scene) -> WorkerId:
    return scene.worker()


@pytest.fixture
def writer(scene: Scene) -> Iterator[Writer]:
    writer = Writer(scene.ledger, scene.runs)
    writer.start()
    yield writer
    writer.stop(within_s=5)


@contextmanager
def kept_busy(writer: Writer, scene: Scene, worker_id: WorkerId) -> Iterator[None]:
    """While this is entered, the writer is between two groups: what is put to it gathers."""
    run_id = scene.accept()
    scene.claim(run_id, worker_id)
    is_busy, may_go_on = threading.Event(), threading.Event()

    def stay(written: bool) -> None:
        assert written
        is_busy.set()
        assert may_go_on.wait(20)

    writer.put(Ended("finish", succeeded(run_id, worker_id), None, stay))
    assert is_busy.wait(20)
    try:
        yield
    finally:
        may_go_on.set()


def succeeded(run_id: RunId, worker_id: WorkerId, **facts: Any) -> AttemptEnd:
    return AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED, None, **facts)


def test_starts_that_gather_are_recorded_with_one_commit(
    scene: Scene, writer: Writer, worker_id: WorkerId
) -> None:
    run_ids = [scene.accept() for _ in range(THREADS)]
    commits: list[None] = []
    scene.ledger.after_transaction = lambda: commits.append(None)
    with ThreadPoolExecutor(THREADS) as threads:
        with kept_busy(writer, scene, worker_id):
            answers = [
                threads.submit(writer.claim, Delivery(run_id, 1), worker_id) for run_id in run_ids
            ]
            until(lambda: writer.waiting == THREADS)
            before = len(commits)
        claims = [answer.result(20) for answer in answers]
    assert len(commits) - before == 1
    assert [(claim.run_id, claim.attempt, claim.refusal) for claim in claims] == [
        (run_id, 1, None) for run_id in run_ids
    ]


def test_a_start_is_in_the_ledger_before_whoever_asked_goes_on(
    scene: Scene, writer: Writer, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    assert writer.claim(Delivery(run_id, 1), worker_id).attempt == 1
    row = scene.row(run_id)
    assert (row["status"], row["worker_id"]) == ("running", worker_id)


def test_each_of_a_group_is_told_what_became_of_its_own(
    scene: Scene, writer: Writer, worker_id: WorkerId
) -> None:
    waiting, taken, other = scene.accept(), scene.accept(), scene.worker()
    scene.claim(taken, other)
    deliveries = {
        Delivery(waiting, 1): None,
        Delivery(waiting, 2): Refusal.SUPERSEDED,
        Delivery(taken, 1): Refusal.RUNNING,
    }
    with ThreadPoolExecutor(THREADS) as threads:
        with kept_busy(writer, scene, worker_id):
            answers = [threads.submit(writer.claim, item, worker_id) for item in deliveries]
            until(lambda: writer.waiting == len(deliveries))
        assert [answer.result(20).refusal for answer in answers] == list(deliveries.values())


def test_an_end_that_cannot_be_written_holds_up_no_start(
    scene: Scene, writer: Writer, worker_id: WorkerId
) -> None:
    broken, run_id = scene.accept(), scene.accept()
    scene.claim(broken, worker_id)
    end = succeeded(broken, worker_id, context={"a set": {1}})
    with ThreadPoolExecutor(1) as threads:
        with kept_busy(writer, scene, worker_id):
            writer.put(Ended("finish", end, None, lambda written: None))
            answer = threads.submit(writer.claim, Delivery(run_id, 1), worker_id)
            until(lambda: writer.waiting == 2)
        assert answer.result(20).attempt == 1
    assert scene.row(run_id)["status"] == "running"


def test_whoever_asked_is_told_at_once_that_the_ledger_is_away_and_may_ask_again(
    scene: Scene, writer: Writer, worker_id: WorkerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> NoReturn:
        raise LedgerUnavailable("the database is away", address="here")

    run_id = scene.accept()
    with monkeypatch.context() as patch:
        patch.setattr(scene.runs, "claim", away)
        with pytest.raises(LedgerUnavailable, match="away"):
            writer.claim(Delivery(run_id, 1), worker_id)
    assert scene.row(run_id)["status"] == "queued"

    def asked_again() -> Claim | None:
        try:
            return writer.claim(Delivery(run_id, 1), worker_id)
        except LedgerUnavailable:
            return None

    assert until(asked_again).attempt == 1


def test_a_fault_of_one_question_is_its_own(
    scene: Scene, writer: Writer, worker_id: WorkerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, run_id = scene.accept(), scene.accept()
    claim = scene.runs.claim

    def claimed(deliveries: list[Delivery], *, worker_id: WorkerId) -> list[Claim]:
        if any(item.run_id == broken for item in deliveries):
            raise RuntimeError("a fault of the database that is none of its connections")
        return claim(deliveries, worker_id=worker_id)

    monkeypatch.setattr(scene.runs, "claim", claimed)
    with ThreadPoolExecutor(2) as threads:
        with kept_busy(writer, scene, worker_id):
            bad = threads.submit(writer.claim, Delivery(broken, 1), worker_id)
            good = threads.submit(writer.claim, Delivery(run_id, 1), worker_id)
            until(lambda: writer.waiting == 2)
        with pytest.raises(RuntimeError, match="a fault"):
            bad.result(20)
        assert good.result(20).attempt == 1


def test_what_nobody_waits_for_any_more_is_not_begun(
    scene: Scene, writer: Writer, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    question = Asked(Delivery(run_id, 1), worker_id)
    with kept_busy(writer, scene, worker_id):
        writer.put(question)
        assert question.answer.cancel()
    assert writer.drain()
    assert scene.row(run_id)["status"] == "queued"


def test_nobody_waits_for_a_writer_that_is_held_up_by_a_ledger_that_is_away(
    scene: Scene, writer: Writer, worker_id: WorkerId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> NoReturn:
        raise LedgerUnavailable("the database is away", address="here")

    begun, run_id = scene.accept(), scene.accept()
    scene.claim(begun, worker_id)
    with monkeypatch.context() as patch:
        patch.setattr(scene.runs, "finish", away)
        writer.put(Ended("finish", succeeded(begun, worker_id), None, lambda written: None))
        until(lambda: not writer.is_reaching)
        with pytest.raises(LedgerUnavailable, match="did not answer"):
            writer.claim(Delivery(run_id, 1), worker_id)
    assert writer.drain()
    assert scene.row(run_id)["status"] == "queued"
    assert scene.row(begun)["outcome"] == "succeeded"


def test_nobody_waits_for_a_writer_that_has_ended(
    scene: Scene, writer: Writer, worker_id: WorkerId
) -> None:
    run_id = scene.accept()
    writer.stop(within_s=5)
    with pytest.raises(LedgerUnavailable, match="did not answer"):
        writer.claim(Delivery(run_id, 1), worker_id)
    assert scene.row(run_id)["status"] == "queued"
