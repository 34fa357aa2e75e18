"""The thread that renews this worker's lease and looks after its attempts, whatever they do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dramatiq.broker import Broker

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.policy import INTERRUPT_GRACE_S
from lastword_middleware.ends import Ends
from lastword_middleware.fitness import Fitness
from lastword_middleware.interrupting import InterruptAttempts
from lastword_middleware.tracker import Tracker
from lastword_middleware.watched import Watched

#: Seconds a beat that is under way gets to end.
STOP_WITHIN_S = 5.0


class Heartbeat(threading.Thread):
    """Renews the lease every `heartbeat_interval` until it is stopped.

    Args:
        tracker: the worker whose lease it is.
        broker: its broker.
        fitness: looked at with each beat, until the worker is told to stop.
        watched: its sentinel, started anew if it dies.
    """

    def __init__(
        self, tracker: Tracker, broker: Broker, fitness: Fitness, watched: Watched
    ) -> None:
        super().__init__(name="lastword-heartbeat", daemon=True)
        self._tracker = tracker
        self._broker = broker
        self._fitness = fitness
        self._watched = watched
        self._ends = Ends(tracker)
        self._stopped = threading.Event()
        self._was_silent: set[str] = set()

    def run(self) -> None:
        """Beat until stopped. A failed beat is logged, and the next one tries again."""
        while not self._stopped.wait(self._tracker.config.heartbeat_interval):
            self._try(self._fitness.end_if_stuck, "fitness_broken")
            if not self._tracker.stopping.is_set():
                self._try(self._fitness.look, "fitness_broken")
                self._try(self._watched.look, "sentinel_broken")
            self._try(self._end_overdue, "watch_broken")
            self._try(self._beat, "heartbeat_failed")
        self._tracker.ledger.leave_thread()

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()
        # A beat that waits for a database which does not answer must not keep the process.
        self.join(STOP_WITHIN_S)

    def _try(self, work: Callable[[], None], complaint: str) -> None:
        try:
            work()
            self._was_silent.discard(complaint)
        except LedgerUnavailable as error:
            if complaint not in self._was_silent:
                log_notice(logging.ERROR, complaint, why=error)
            self._was_silent.add(complaint)
        except Exception:
            logging.getLogger("lastword").exception(complaint)

    def _beat(self) -> None:
        asked = self._tracker.heartbeat()
        for attempt in asked.fenced:
            # Its end may have been written since: then it is no longer open, and nothing happens.
            if not attempt.is_cancelled and attempt.thread_id is not None:
                log_notice(logging.WARNING, "attempt_fenced", run=attempt.run.run_id)
                self._interrupts().cancel(attempt)
        if asked.to_stop:
            self._cancel(asked.to_stop)
        if asked.drain and not self._tracker.stopping.is_set():
            self._fitness.drain()

    def _cancel(self, asked: frozenset[RunId]) -> None:
        for held in self._tracker.reservations.of_runs(asked):
            # Whoever takes it out owns it: this thread to end it, or a worker's to begin with it.
            if self._tracker.reservations.take(held.message) is None:
                continue
            if not self._tracker.give_back([held]):
                self._tracker.runs.cancel([held.reservation.run_id], by="operator")
        for attempt in self._tracker.work.open_attempts():
            if attempt.run.run_id in asked and attempt.worker_id == self._tracker.worker_id:
                self._interrupts().cancel(attempt)

    def _interrupts(self) -> InterruptAttempts:
        return next(item for item in self._broker.middleware if isinstance(item, InterruptAttempts))

    def _end_overdue(self) -> None:
        # A limit raised in a thread that is blocked in C, or that swallows it, changes nothing.
        for attempt in self._tracker.work.open_attempts():
            late = time.monotonic() - attempt.began > attempt.limit_s + INTERRUPT_GRACE_S
            if late and attempt.thread_id is not None and not attempt.is_overdue:
                attempt.is_overdue = True
                log_notice(logging.ERROR, "attempt_overdue", run=attempt.run.run_id)
                self._ends.overdue(attempt)
