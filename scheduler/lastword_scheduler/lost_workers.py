"""Workers that a test lets die: before they have done anything, and in the middle of their work."""

from __future__ import annotations

from typing import NoReturn

from lastword.errors import LastwordError
from lastword.identity import new_worker_id
from lastword.service import RunService, WorkerService
from lastword.service.values import Delivery
from lastword.service.workers import NewWorker
from lastword.storage.ledger import Ledger
from lastword_middleware.tracker import Tracker
from lastword_scheduler.memory_queue import MemoryQueue

#: What the ledger is told of their end.
CAUSE = {"seen": "a test let it die"}


class WorkerLost(BaseException):
    """Raised in an actor whose worker dies: whatever it would do next is not done."""


def lose_beginner(ledger: Ledger, broker: MemoryQueue, delivery: Delivery) -> None:
    """Let a worker take a queued run, begin with it, and die with its message.

    Raises:
        LastwordError: no worker would begin with it.
    """
    worker_id = new_worker_id()
    workers = WorkerService(ledger)
    workers.boot(NewWorker(worker_id, "test", 0, "test", 1, None), lease_ttl_s=3600)
    try:
        [claim] = RunService(ledger).claim([delivery], worker_id=worker_id)
    finally:
        workers.lose(worker_id, cause=CAUSE)
    if claim.refusal:
        raise LastwordError(
            f"no worker would begin with run {delivery.run_id}: {claim.refusal}",
            expected="a queued run",
            mend="start one, and lose its worker before `work`",
        )
    broker.lose(delivery.run_id)


def die_at_work(tracker: Tracker, broker: MemoryQueue) -> NoReturn:
    """Let the worker die that this is called in, with the attempt that it works on.

    Raises:
        WorkerLost: always, unless there is no such attempt.
        LastwordError: there is none.
    """
    attempts = tracker.work.open_attempts()
    if not attempts:
        raise LastwordError(
            "no actor with an operation is at work",
            mend="name a queued run, or call lose_worker() in what an actor calls",
        )
    [attempt] = attempts
    tracker.require_written()
    tracker.workers.lose(attempt.worker_id, cause=CAUSE)
    # Nobody is left to write its end, to send, or to acknowledge.
    broker.is_cut_off = True
    tracker.work.settle(attempt)
    raise WorkerLost
