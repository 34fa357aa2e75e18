"""An application's actors on a queue in memory, with real tracking and faults on demand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dramatiq
from dramatiq.broker import Broker
from dramatiq.errors import QueueJoinTimeout
from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)
from dramatiq.worker import Worker

from lastword.application import Application, application_here, use_application
from lastword.errors import LastwordError
from lastword.identity import RunId, new_worker_id
from lastword.service import RunService, WorkerService
from lastword.service.values import Delivery
from lastword.service.workers import NewWorker
from lastword.starting import Started, start_in
from lastword.storage.ledger import Row
from lastword.storage.tables import Attempt, Run
from lastword.storage.tables import Worker as WorkerRow
from lastword_middleware import install
from lastword_scheduler.bench_ledger import prepare_ledger
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.memory_queue import MemoryQueue
from lastword_scheduler.reports import SweepReport

#: Seconds that the work of one `Bench.work` may take.
WORK_WITHIN_S = 30.0

#: What an application's broker lends to the bench.
_WITHOUT_SERVER = (
    AgeLimit,
    AsyncIO,
    Callbacks,
    CurrentMessage,
    Pipelines,
    Retries,
    ShutdownNotifications,
    TimeLimit,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where an application's runs are started, worked on, lost and judged.

    Attributes:
        application: the application, on this bench's ledger and queue.
        broker: the queue.
    """

    application: Application
    broker: MemoryQueue

    def start(self, operation: str, *, tenant: str | None = None, **inputs: Any) -> Started:
        """Start a run, as `lastword.start` does."""
        return start_in(self.application, operation, inputs=inputs, tenant=tenant, initiator=None)

    def work(self, *, wait: bool = True) -> None:
        """Do all that is queued, retries included, and return when nothing is left.

        Args:
            wait: whether time passes, as `pass_time` lets it, until what is delayed is due; if not,
                only that is done which is due now.

        Raises:
            QueueJoinTimeout: it takes longer than `WORK_WITHIN_S`.
        """
        deadline = time.monotonic() + WORK_WITHIN_S
        self._work_off(deadline)
        while wait and (until_due_ms := self.broker.until_due()) is not None:
            if time.monotonic() > deadline:
                raise QueueJoinTimeout(f"there was still work after {WORK_WITHIN_S:g} s")
            self._pass_ms(until_due_ms)
            self._work_off(deadline)

    def _work_off(self, deadline: float) -> None:
        self.broker.let_go()
        if not self.broker.has_due:
            return
        worker = Worker(self.broker, worker_timeout=10, worker_threads=1)
        self.broker.emit_after("process_boot")
        worker.start()
        try:
            # An attempt that fails is for the ledger to tell, not for whoever waits here.
            self.broker.join_due(deadline - time.monotonic())
            worker.join()
        finally:
            worker.stop(timeout=int(WORK_WITHIN_S * 1000))

    def lose_message(self, run: Started | str) -> None:
        """Lose the message of one run, delayed or not.

        Raises:
            LastwordError: there is none in the queue.
        """
        if not self.broker.lose(_id(run)):
            raise LastwordError(f"run {_id(run)} has no message in the queue that could be lost")

    def lose_messages(self) -> None:
        """Empty the queue, as a broker without persistence does that is restarted."""
        self.broker.flush_all()

    def lose_worker(self, run: Started | str) -> None:
        """Let a worker take this queued run, begin with it, and die with its message.

        Raises:
            LastwordError: no worker would begin with the run, because of its state.
        """
        run_id = _id(run)
        delivery = Delivery(run_id, int(self.run(run)["dispatch"]))
        ledger = self.application.apart
        worker_id = new_worker_id()
        workers = WorkerService(ledger)
        workers.boot(NewWorker(worker_id, "test", 0, "test", 1, None), lease_ttl_s=3600)
        try:
            [claim] = RunService(ledger).claim([delivery], worker_id=worker_id)
        finally:
            workers.lose(worker_id, cause={"seen": "a test let it die"})
        if claim.refusal:
            raise LastwordError(
                f"no worker would begin with run {run_id}: {claim.refusal}",
                expected="a queued run",
                mend="start one, and lose its worker before `work`",
            )
        self.broker.lose(run_id)

    def pass_time(self, seconds: float) -> None:
        """Let runs, workers and messages be older by so much, and delays be shorter.

        The database's clock judges runs, so their moments are moved, and no clock is.
        """
        self._pass_ms(round(seconds * 1000))

    def _pass_ms(self, passed_ms: int) -> None:
        ledger = self.application.apart
        with ledger.transaction():
            for model in (Run, WorkerRow, Attempt):
                moments = [n for n in model._meta.columns if n.endswith(("_at", "_until"))]
                moved = ", ".join(f"{n} = {n} - {passed_ms}" for n in moments)
                ledger.execute(f"UPDATE {model._meta.table_name} SET {moved}")
        self.broker.pass_time(passed_ms)

    def sweep(self) -> SweepReport:
        """Let the generic reconciler look at every run once."""
        reconciler = GenericReconciler(
            config=self.application.config,
            ledger=self.application.apart,
            probe=self.broker,
            dispatcher=self.application.dispatcher,
            contact=Contact(0.0),
        )
        return reconciler.sweep()

    def run(self, run: Started | str) -> Row:
        """The run as the ledger has it.

        Raises:
            AssertionError: it has none.
        """
        ledger = self.application.apart
        with ledger.session():
            rows = ledger.execute(
                f"SELECT * FROM lastword_run WHERE id = {ledger.dialect.param}", _id(run)
            )
        if not rows:
            raise AssertionError(f"there is no run {_id(run)} on this bench")
        return rows[0]

    def assert_ended(self, run: Started | str, outcome: str, reason: str | None = None) -> None:
        """Fail unless the run has ended in this way."""
        row = self.run(run)
        seen = (row["outcome"], row["reason"])
        if not row["completed_at"] or seen != (outcome, reason):
            raise AssertionError(
                f"run {_id(run)} is {row['status']}/{seen[0]} ({seen[1]}), "
                f"expected completed/{outcome} ({reason})"
            )


@contextmanager
def bench(
    ledger_url: str, *, original: Broker | None = None, middleware: Sequence[Middleware] = ()
) -> Iterator[Bench]:
    """The application of this process on a queue in memory and another ledger.

    Its actors are lent to the bench, and given back at the end. So is Dramatiq's own middleware
    that needs no server, with the application's settings.

    Args:
        ledger_url: the URL of a database for tests alone; the ledger's tables are made in it.
        original: the application's broker; Dramatiq's global one if None.
        middleware: what else the bench's broker has.

    Raises:
        LastwordError: the ledger is the application's own, or a worker lives there.
    """
    mine = application_here()
    original = original or dramatiq.get_broker()
    prepare_ledger(ledger_url, mine)
    lent = [item for item in original.middleware if isinstance(item, _WITHOUT_SERVER)]
    broker = MemoryQueue([*lent, *middleware])
    application = install(broker, config=replace(mine.config, database_url=ledger_url))
    actors = list(original.actors.values())
    try:
        for actor in actors:
            broker.declare_actor(actor)
            actor.broker = broker
        yield Bench(application, broker)
    finally:
        for actor in actors:
            actor.broker = original
        use_application(mine)
        application.ledger.close()
        application.apart.close()


def _id(run: Started | str) -> RunId:
    return run.run_id if isinstance(run, Started) else RunId(run)
