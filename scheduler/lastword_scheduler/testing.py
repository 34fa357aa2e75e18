"""An application's actors on a queue in memory, with real tracking and faults on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn, overload

import dramatiq
from dramatiq.broker import Broker
from dramatiq.middleware import (
    AgeLimit,
    AsyncIO,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    Retries,
    ShutdownNotifications,
)

from lastword.application import Application, application_here, use_application
from lastword.domains import DomainReconciler, required_reconcilers
from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.service.values import Delivery
from lastword.starting import Started, start_in
from lastword.storage.ledger import Row
from lastword.storage.tables import Attempt, Run
from lastword.storage.tables import Worker as WorkerRow
from lastword_middleware.installing import track
from lastword_middleware.messages import TrackMessages
from lastword_middleware.tracker import Tracker
from lastword_scheduler.bench_ledger import IN_MEMORY, bench_ledgers
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.inline_worker import BenchTimeLimit, InlineWorker, Raised
from lastword_scheduler.lost_workers import die_at_work, lose_beginner
from lastword_scheduler.memory_queue import MemoryQueue
from lastword_scheduler.reports import SweepReport
from lastword_scheduler.typed import TypedReconciler

#: What an application's broker lends to the bench.
_WITHOUT_SERVER = (
    AgeLimit,
    AsyncIO,
    Callbacks,
    CurrentMessage,
    Pipelines,
    Retries,
    ShutdownNotifications,
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
    _raised: Raised
    _tracker: Tracker

    def start(self, operation: str, *, tenant: str | None = None, **inputs: Any) -> Started:
        """Start a run, as `lastword.start` does."""
        return start_in(self.application, operation, inputs=inputs, tenant=tenant, initiator=None)

    def work(self, *, wait: bool = True) -> None:
        """Do all that is queued in this thread, retries included, until nothing is left.

        Ends sooner if `lose_worker` lets its worker die.

        Args:
            wait: whether time passes, as `pass_time` lets it, until what is delayed is due; if not,
                only that is done which is due now.

        Raises:
            LastwordError: it does not end, or an actor calls it.
        """
        if self._tracker.worker_id is not None:
            raise LastwordError(
                "an actor at work called work()",
                expected="the test to call it",
                mend="let the actor send; what it sends is done after it",
            )
        done = 0
        try:
            while True:
                done = self._work_off(done)
                until_due_ms = self.broker.until_due()
                if self.broker.is_cut_off or not wait or until_due_ms is None:
                    break
                self._pass_ms(until_due_ms)
        finally:
            self.broker.is_cut_off = False

    def _work_off(self, done: int) -> int:
        if not self.broker.has_due:
            return done
        worker = InlineWorker(self.broker, self._raised)
        worker.start()
        try:
            return worker.work_off(done)
        finally:
            worker.stop()

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

    @overload
    def lose_worker(self, run: Started | str) -> None: ...

    @overload
    def lose_worker(self) -> NoReturn: ...

    def lose_worker(self, run: Started | str | None = None) -> None:
        """Let a worker take this queued run, begin with it, and die with its message.

        Without a run, called by an actor at work or by what it calls: its worker dies here. The
        actor is left by an exception, and nothing that it does or sends from then on counts.

        Raises:
            WorkerLost: in the actor.
            LastwordError: no worker would begin with the run, because of its state; or none is at
                work.
        """
        if run is None:
            die_at_work(self._tracker, self.broker)
        delivery = Delivery(_id(run), int(self.run(run)["dispatch"]))
        lose_beginner(self.application.apart, self.broker, delivery)

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
        """Let the reconcilers look at every run once: the generic one, then the type-specific.

        Of these, those that are installed and that the policy of an actor's operation names.
        """
        ledger = self.application.apart
        typed = self._typed()
        generic = GenericReconciler(
            config=self.application.config,
            ledger=ledger,
            probe=self.broker,
            dispatcher=self.application.dispatcher,
            contact=Contact(0.0),
            typed=typed,
        )
        total = generic.sweep()
        for reconciler in typed:
            # No grace: whoever wrote the record is not at work any more.
            total.add(TypedReconciler(ledger, reconciler, grace_s=0.0).sweep())
        return total

    def _typed(self) -> list[DomainReconciler]:
        config = self.application.config
        operations = [actor.options.get("operation") for actor in self.broker.actors.values()]
        named = {
            name
            for operation in operations
            if operation
            for name in config.policy(operation).reconcilers
        }
        return [item for item in required_reconcilers(config) if item.source in named]

    def exceptions(self, run: Started | str) -> list[BaseException]:
        """What the attempts of this run raised, in order, each with its traceback."""
        return list(self._raised.by_run[_id(run)])

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
        """Fail unless the run has ended in this way; what its last attempt raised is the cause."""
        row = self.run(run)
        seen = (row["outcome"], row["reason"])
        if not row["completed_at"] or seen != (outcome, reason):
            raise AssertionError(
                f"run {_id(run)} is {row['status']}/{seen[0]} ({seen[1]}), "
                f"expected completed/{outcome} ({reason})"
            ) from next(reversed(self.exceptions(run)), None)


@contextmanager
def bench(
    ledger_url: str = IN_MEMORY,
    *,
    original: Broker | None = None,
    middleware: Sequence[Middleware] = (),
) -> Iterator[Bench]:
    """The application of this process on a queue in memory and another ledger.

    Its actors are lent to the bench, and given back at the end. So is Dramatiq's own middleware
    that needs no server, with the application's settings.

    Args:
        ledger_url: the URL of a database for tests alone; the ledger's tables are made in it. In
            memory if none is given.
        original: the application's broker; Dramatiq's global one if None.
        middleware: what else the bench's broker has.

    Raises:
        LastwordError: the ledger is the application's own, or a worker lives there.
    """
    mine = application_here()
    original = original or dramatiq.get_broker()
    actors = list(original.actors.values())
    with bench_ledgers(ledger_url, mine) as (own, apart):
        raised = Raised()
        lent = [item for item in original.middleware if isinstance(item, _WITHOUT_SERVER)]
        broker = MemoryQueue([*lent, *middleware, raised, BenchTimeLimit.like(original)])
        # The process of the tests is no worker's.
        config = replace(mine.config, database_url=ledger_url, gc_threshold=0, one_cpu=False)
        application = track(broker, config, own, apart)
        try:
            for actor in actors:
                broker.declare_actor(actor)
                actor.broker = broker
            broker.emit_after("process_boot")
            yield Bench(application, broker, raised, _tracker_of(broker))
        finally:
            for actor in actors:
                actor.broker = original
            use_application(mine)


def _tracker_of(broker: Broker) -> Tracker:
    return next(item.tracker for item in broker.middleware if isinstance(item, TrackMessages))


def _id(run: Started | str) -> RunId:
    return run.run_id if isinstance(run, Started) else RunId(run)
