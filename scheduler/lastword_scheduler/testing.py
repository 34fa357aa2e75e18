"""An application's actors on a queue in memory, with real tracking and faults on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dramatiq
from dramatiq.broker import Broker
from dramatiq.brokers.stub import StubBroker
from dramatiq.worker import Worker

from lastword.application import Application, application_here, use_application
from lastword.identity import RunId, new_worker_id
from lastword.reading.runs import run_status
from lastword.service import RunService, WorkerService
from lastword.service.values import Delivery
from lastword.service.workers import NewWorker
from lastword.starting import Started, start_in
from lastword.storage.ledger import Row
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from lastword.storage.tables import Run
from lastword.storage.tables import Worker as WorkerRow
from lastword_middleware import install
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.probe import MessageEvidence, MessageState, Whereabouts
from lastword_scheduler.reports import SweepReport

#: Milliseconds that the work of one `Bench.work` may take.
WORK_WITHIN_MS = 30_000


class StubProbe:
    """Looks into the queues of a broker in memory."""

    def __init__(self, broker: StubBroker) -> None:
        self._broker = broker

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """See `Probe`."""
        waiting = {
            dramatiq.Message.decode(data).message_id
            for queue in self._broker.queues.values()
            for data in list(queue.queue)
        }
        return {
            message.run_id: MessageEvidence(
                MessageState.READY if message.run_id in waiting else MessageState.GONE
            )
            for message in messages
        }

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """See `Probe`: nobody holds anything here between two calls of `Bench.work`."""
        del queue, holder, refs
        return 0


@dataclass(frozen=True, slots=True)
class Bench:
    """Where an application's runs are started, worked on, lost and judged.

    Attributes:
        application: the application, on this bench's ledger and queue.
        broker: the queue.
    """

    application: Application
    broker: StubBroker

    def start(self, operation: str, *, tenant: str | None = None, **inputs: Any) -> Started:
        """Start a run, as `lastword.start` does."""
        return start_in(self.application, operation, inputs=inputs, tenant=tenant, initiator=None)

    def work(self) -> None:
        """Do all that is queued, retries included, and return when nothing is left.

        Raises:
            QueueJoinTimeout: it takes longer than `WORK_WITHIN_MS`.
        """
        worker = Worker(self.broker, worker_timeout=10, worker_threads=1)
        self.broker.emit_after("process_boot")
        worker.start()
        try:
            # An attempt that fails is for the ledger to tell, not for whoever waits here.
            for queue in sorted(self.broker.get_declared_queues()):
                self.broker.join(queue, fail_fast=False, timeout=WORK_WITHIN_MS)
            worker.join()
        finally:
            worker.stop(timeout=WORK_WITHIN_MS)

    def lose_messages(self) -> None:
        """Empty the queue, as a broker without persistence does that is restarted."""
        self.broker.flush_all()

    def lose_worker(self, run: Started | str) -> None:
        """Let a worker take this queued run, begin with it, and die."""
        run_id = _id(run)
        ledger = self.application.apart
        worker_id = new_worker_id()
        workers = WorkerService(ledger)
        workers.boot(NewWorker(worker_id, "test", 0, "test", 1, None), lease_ttl_s=3600)
        delivery = Delivery(run_id, int(self.run(run)["dispatch"]))
        RunService(ledger).claim([delivery], worker_id=worker_id)
        self.lose_messages()
        workers.lose(worker_id, cause={"seen": "a test let it die"})

    def pass_time(self, seconds: float) -> None:
        """Let all that the ledger knows of runs and workers be older by so much.

        The database's clock judges runs, so their moments are moved, and no clock is.
        """
        ledger = self.application.apart
        with ledger.transaction():
            for model in (Run, WorkerRow):
                moments = [n for n in model._meta.columns if n.endswith(("_at", "_until"))]
                moved = ", ".join(f"{n} = {n} - {int(seconds * 1000)}" for n in moments)
                ledger.execute(f"UPDATE {model._meta.table_name} SET {moved}")

    def sweep(self) -> SweepReport:
        """Let the generic reconciler look at every run once."""
        reconciler = GenericReconciler(
            config=self.application.config,
            ledger=self.application.apart,
            probe=StubProbe(self.broker),
            dispatcher=self.application.dispatcher,
            contact=Contact(0.0),
        )
        return reconciler.sweep()

    def run(self, run: Started | str) -> Row:
        """The run as the ledger has it."""
        ledger = self.application.apart
        with ledger.session():
            [row] = ledger.execute(
                f"SELECT * FROM lastword_run WHERE id = {ledger.dialect.param}", _id(run)
            )
        return row

    def assert_ended(self, run: Started | str, outcome: str, reason: str | None = None) -> None:
        """Fail unless the run has ended in this way."""
        ended = run_status(self.application.apart, [_id(run)]).get(_id(run), {})
        row = self.run(run)
        seen = (row["outcome"], row["reason"])
        if not ended.get("completed_at") or seen != (outcome, reason):
            raise AssertionError(
                f"run {_id(run)} is {row['status']}/{seen[0]} ({seen[1]}), "
                f"expected completed/{outcome} ({reason})"
            )


@contextmanager
def bench(ledger_url: str, *, original: Broker | None = None) -> Iterator[Bench]:
    """The application of this process on a queue in memory and another ledger.

    Its actors are lent to the bench, and given back at the end.

    Args:
        ledger_url: the URL of a database for tests alone; the ledger's tables are made in it.
        original: the application's broker; Dramatiq's global one if None.
    """
    mine = application_here()
    original = original or dramatiq.get_broker()
    ledger = open_ledger(ledger_url)
    migrate(ledger)
    ledger.close()
    broker = StubBroker()
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
