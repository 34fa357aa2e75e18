"""The thread that renews this worker's lease, whatever the worker's other threads are doing."""

from __future__ import annotations

import logging
import threading

from lastword.errors import LedgerUnavailable
from lastword.logs import log_notice
from lastword_middleware.fitness import Fitness
from lastword_middleware.tracker import Tracker

#: Seconds a beat that is under way gets to end.
STOP_WITHIN_S = 5.0


class Heartbeat(threading.Thread):
    """Renews the lease every `heartbeat_interval` until it is stopped.

    Args:
        tracker: the worker whose lease it is.
        fitness: looked at with each beat, until the worker is told to stop.
    """

    def __init__(self, tracker: Tracker, fitness: Fitness) -> None:
        super().__init__(name="lastword-heartbeat", daemon=True)
        self._tracker = tracker
        self._fitness = fitness
        self._stopped = threading.Event()

    def run(self) -> None:
        """Beat until stopped. A failed beat is logged, and the next one tries again."""
        silent = False
        while not self._stopped.wait(self._tracker.config.heartbeat_interval):
            if not self._tracker.stopping.is_set():
                self._fitness.look()
            try:
                self._tracker.heartbeat()
                silent = False
            except LedgerUnavailable as error:
                if not silent:
                    log_notice(logging.ERROR, "heartbeat_failed", why=error)
                silent = True
            except Exception:
                logging.getLogger("lastword").exception("heartbeat_broken")
        self._tracker.ledger.leave_thread()

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()
        # A beat that waits for a database which does not answer must not keep the process.
        self.join(STOP_WITHIN_S)
