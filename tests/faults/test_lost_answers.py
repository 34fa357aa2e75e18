"""Answers of the database that are lost again and again, and interrupts at any line.

One call at a time, of every verb and every caller: `test_every_verb` and `test_every_call`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
import pytest
from dramatiq.broker import Broker
from dramatiq.threading import Interrupt, raise_thread_exception

from lastword.errors import LedgerUnavailable
from lastword.storage.ledger import Ledger
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of


def test_a_whole_worker_that_loses_a_third_of_all_answers_does_each_run_once(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None:
        calls.append(number)

    sent_runs = [build.send(number).message_id for number in range(40)]
    tracker = tracker_of(broker)
    lost: list[bool] = []
    whole = tracker.ledger.transaction
    # In no order: of two that take turns for ever, one would never hear anything.
    dice = random.Random(40)

    @contextmanager
    def partly_heard() -> Iterator[None]:
        outermost = not tracker.ledger.database.in_transaction()
        with whole():
            yield
        if outermost:
            lost.append(dice.random() < 1 / 3)
            if lost[-1]:
                raise LedgerUnavailable("the answer was lost", address="here")

    tracker.ledger.transaction = partly_heard  # type: ignore[method-assign]
    worker = until(lambda: started(start_worker))
    for run_id in sent_runs:
        assert scene.completed(run_id, within_s=60)["outcome"] == "succeeded"
        assert scene.kinds(run_id) == ["accepted", "claimed", "completed"]
    assert sorted(calls) == list(range(40))
    assert sum(lost) > 2
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
