"""Commit-then-error: the database committed, and the caller was told that it failed.

Every verb is called on a ledger whose answer to that one transaction is lost, then again as its
caller would; what stands afterwards is what one call that was answered would have left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.threading import Interrupt, raise_thread_exception

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.requests import NewRun
from lastword.service.values import (
    AttemptEnd,
    Beginning,
    Delivery,
    Rejection,
    Retry,
    Sending,
    Verdict,
)
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger
from tests.support import Scene, policy, until
from tests.workers import StartWorker, tracker_of


class LossyLedger(Ledger):
    """Loses the answer of the next transaction: committed, and an error to the caller."""

    loses = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Ledger`; the outermost transaction loses its answer."""
        outermost = not self.database.in_transaction()
        with super().transaction():
            yield
        if outermost and self.loses:
            self.loses = False
            raise LedgerUnavailable("the connection broke after the commit", address="here")


@pytest.fixture
def lossy(ledger: Ledger) -> LossyLedger:
    return LossyLedger(ledger.database, address=ledger.address)


Story = Callable[[Scene, RunId, WorkerId], Any]


def accept(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.accept([NewRun(run_id, policy(), "build_report", "{}")])


def sent(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.sent([Sending(run_id, 1, "default", "ref")])


def reserve(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.reserve([Delivery(run_id, 1)], worker_id=worker_id)


def release(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.release([Delivery(run_id, 1)], worker_id=worker_id)


def claim(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    [answer] = scene.runs.claim([Delivery(run_id, 1)], worker_id=worker_id)
    assert (answer.attempt, answer.refusal) == (1, None)


def begin(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.begin([Beginning(run_id, 1, 1, worker_id)])


def finish(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.finish([AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED)])


def fail(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.fail(
        [AttemptEnd(run_id, 1, worker_id, Outcome.FAILED, Reason.RETRIES_EXHAUSTED)],
    )


def cancelled(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.cancel([run_id], by="ada")
    scene.runs.cancelled(
        [AttemptEnd(run_id, 1, worker_id, Outcome.CANCELLED, Reason.CANCELLED_BY_OPERATOR)]
    )


def retry(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    answer = scene.runs.retry([Retry(run_id, 1, worker_id, 0.0, 1, Reason.THROTTLED)])
    assert answer == {run_id: 2}


def reject(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.reject([Rejection(run_id, 1, Reason.AGE_LIMIT_EXCEEDED)])


def lost(run_id: RunId, status: Status, attempt: int) -> Verdict:
    reason = Reason.MESSAGE_LOST if status is Status.QUEUED else Reason.WORKER_LOST
    return Verdict(run_id, status, attempt, 1, reason, {}, charged=status is Status.RUNNING)


def redispatch(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.redispatch([lost(run_id, Status.QUEUED, 0)])


def recover(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.workers.lose(worker_id, cause={})
    scene.runs.redispatch([lost(run_id, Status.RUNNING, 1)])


def close(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.workers.lose(worker_id, cause={})
    scene.runs.close([lost(run_id, Status.RUNNING, 1)])


def cancel(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.runs.cancel([run_id], by="ada")


def heartbeat(scene: Scene, run_id: RunId, worker_id: WorkerId) -> None:
    scene.workers.heartbeat(worker_id, lease_ttl_s=60, working=[run_id])


#: What has to happen before each verb makes sense.
BEFORE: dict[Story, list[Story]] = {
    accept: [],
    sent: [accept],
    reserve: [accept],
    release: [accept, reserve],
    claim: [accept],
    begin: [accept, reserve],
    finish: [accept, claim],
    fail: [accept, claim],
    cancelled: [accept, claim],
    retry: [accept, claim],
    reject: [accept],
    redispatch: [accept],
    recover: [accept, claim],
    close: [accept, claim],
    cancel: [accept],
    heartbeat: [accept, claim],
}

#: Columns that name a moment, or what was made for this run alone.
MOMENTS = ("_at", "_until")


def told(scene: Scene, run_id: RunId) -> tuple[dict[str, Any], list[str]]:
    """A run and its events without moments and names."""
    row = {
        key: value
        for key, value in scene.row(run_id).items()
        if not key.endswith(MOMENTS) and key not in {"id", "worker_id", "holder"}
    }
    return row, scene.kinds(run_id)


@pytest.mark.parametrize("verb", BEFORE, ids=lambda verb: verb.__name__)
def test_an_answer_that_is_lost_after_the_commit_changes_nothing(
    ledger: Ledger, lossy: LossyLedger, verb: Story
) -> None:
    scenes = {"answered": Scene(ledger), "lost": Scene(lossy)}
    stories = {}
    for name, scene in scenes.items():
        run_id, worker_id = RunId(f"run-{name}"), scene.worker()
        for before in BEFORE[verb]:
            before(scene, run_id, worker_id)
        lossy.loses = name == "lost"
        try:
            verb(scene, run_id, worker_id)
        except LedgerUnavailable:
            verb(scene, run_id, worker_id)
        assert not lossy.loses
        stories[name] = told(scene, run_id)
    assert stories["lost"] == stories["answered"]


def test_a_whole_worker_whose_every_other_answer_is_lost_does_each_run_once(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None:
        calls.append(number)

    sent_runs = [build.send(number).message_id for number in range(40)]
    tracker = tracker_of(broker)
    transactions: list[int] = []
    whole = tracker.ledger.transaction

    @contextmanager
    def every_other() -> Iterator[None]:
        outermost = not tracker.ledger.database.in_transaction()
        with whole():
            yield
        if outermost:
            transactions.append(1)
            if len(transactions) % 2:
                raise LedgerUnavailable("the answer was lost", address="here")

    tracker.ledger.transaction = every_other  # type: ignore[method-assign]
    worker = until(lambda: started(start_worker))
    for run_id in sent_runs:
        assert scene.completed(run_id)["outcome"] == "succeeded"
        assert scene.kinds(run_id) == ["accepted", "claimed", "completed"]
    assert sorted(calls) == list(range(40))
    assert len(transactions) > 4
    del tracker.ledger.transaction
    assert worker is not None


def started(start_worker: StartWorker) -> object:
    """A worker, once one could register; its own answer may be lost as well."""
    from dramatiq.middleware import MiddlewareError

    try:
        return start_worker()
    except MiddlewareError:
        return None


class Struck(Interrupt):
    """Raised into a thread at any line, as a time limit is."""


# An interrupt in the middle of connecting leaves a half-made connection to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_any_line_leave_no_transaction_open(ledger: Ledger) -> None:
    scene = Scene(ledger)
    inside, done = threading.Event(), threading.Event()
    struck: list[int] = []

    def work() -> None:
        while not done.is_set():
            try:
                inside.set()
                while not done.is_set():
                    scene.runs.cancel([scene.accept()], by="ada")
            except (Struck, LedgerUnavailable):
                # What was struck in the middle of a query has lost its connection, too.
                inside.clear()
                struck.append(1)
        ledger.leave_thread()

    thread = threading.Thread(target=work)
    thread.start()
    for count in range(60):
        assert inside.wait(20)
        assert thread.ident is not None
        time.sleep(0.0005 * (count % 7))
        # One at a time: a second would hit what handles the first. One that was raised inside a
        # finalizer is swallowed by the interpreter, and is raised again.
        deadline = 0.0
        while len(struck) == count:
            if time.monotonic() > deadline:
                raise_thread_exception(thread.ident, Struck)
                deadline = time.monotonic() + 5
    # Nobody waits for a lock that a forgotten transaction would hold.
    run_id = scene.accept()
    assert scene.runs.cancel([run_id], by="ada")
    done.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(struck) == 60
    with ledger.session():
        [facts] = ledger.execute(
            "SELECT COUNT(*) AS runs, (SELECT COUNT(*) FROM lastword_event "
            "WHERE kind = 'accepted') AS accepted FROM lastword_run"
        )
    assert facts["runs"] == facts["accepted"]
