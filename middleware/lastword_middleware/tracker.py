"""What one process knows of its own tracking: the worker it is, and the attempts it works on."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from dramatiq.broker import MessageProxy

from lastword import __version__
from lastword.config import Config
from lastword.current import CurrentRun
from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId, new_worker_id
from lastword.logs import log_notice
from lastword.service import RunService, WorkerService
from lastword.service.workers import NewWorker, Progress
from lastword.storage.ledger import Ledger

#: Seconds between two tries to reach a ledger that is down: from, to.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0

T = TypeVar("T")


@dataclass(slots=True)
class OpenAttempt:
    """An attempt that this process works on and whose end is not in the ledger yet.

    Attributes:
        message: the delivery it came with; another delivery of the same run is not this attempt.
        retries: the tries after the first that the message says were spent before this one.
    """

    run: CurrentRun
    worker_id: WorkerId
    message: MessageProxy
    retries: int


class Here(threading.local):
    """What the hooks of one worker thread tell each other about the delivery in its hands."""

    #: The attempt this thread works on.
    attempt: OpenAttempt | None = None
    #: The delivery that Lastword itself refused, and the one that must stay unacknowledged.
    refused: MessageProxy | None = None
    held: MessageProxy | None = None


@dataclass(slots=True)
class Tracker:
    """The state that the hooks of one broker share.

    Attributes:
        config: the configuration.
        ledger: the ledger, on connections of its own.
        application: the same ledger on the application's own connections, if it has any.
        stopping: set while the worker shuts down.
    """

    config: Config
    ledger: Ledger
    application: Ledger | None = None
    runs: RunService = field(init=False)
    workers: WorkerService = field(init=False)
    worker_id: WorkerId | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    here: Here = field(default_factory=Here)
    _threads: int = 0
    _broker_id: str | None = None
    _last_beat_ms: int = 0
    _attempts: dict[int, OpenAttempt] = field(default_factory=dict)
    _claiming: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.runs = RunService(self.ledger)
        self.workers = WorkerService(self.ledger)

    def boot(self, *, threads: int, broker_id: str | None) -> None:
        """Become a worker, under a fresh id."""
        self._threads, self._broker_id = threads, broker_id
        self._last_beat_ms = 0
        worker_id = new_worker_id()
        self.workers.boot(
            NewWorker(
                worker_id=worker_id,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                threads=threads,
                broker_id=broker_id,
            ),
            lease_ttl_s=self.config.lease_ttl,
        )
        self.worker_id = worker_id
        self.stopping.clear()

    def heartbeat(self) -> None:
        """Renew the lease and carry progress; a worker that was given up starts over as a new one.

        Its open attempts keep the old id, so whatever they still report is a late result.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        if self.worker_id is None:
            return
        attempts = [item for item in self.open_attempts() if item.worker_id == self.worker_id]
        progress = [
            Progress(attempt.run.run_id, attempt.run.attempt, counts)
            for attempt in attempts
            if (counts := attempt.run.take_unsaved()) is not None
        ]
        try:
            beat_ms = self.workers.heartbeat(
                self.worker_id,
                lease_ttl_s=self.config.lease_ttl,
                working=[attempt.run.run_id for attempt in attempts],
                # This list was drawn after the last beat had been written, and perhaps long
                # before this one will be: a claim since then may be missing from it.
                listed_at_ms=self._last_beat_ms,
                progress=progress,
            )
        except LedgerUnavailable:
            for attempt in attempts:
                attempt.run.keep_unsaved()
            raise
        if beat_ms is None:
            log_notice(logging.ERROR, "lease_lost", worker=self.worker_id)
            self.boot(threads=self._threads, broker_id=self._broker_id)
        else:
            self._last_beat_ms = beat_ms

    def end(self) -> None:
        """Stop being a worker."""
        if self.worker_id is not None:
            worker_id, self.worker_id = self.worker_id, None
            self.workers.end(worker_id)

    def reserve(self, run_id: str) -> bool:
        """Let one thread at a time claim a run; False if another claims it or works on it.

        The ledger cannot tell two threads of one worker apart: a claim it sees twice may be one
        whose answer was lost. An attempt from before this worker was given up does not count.
        """
        with self._lock:
            working = any(
                attempt.run.run_id == run_id and attempt.worker_id == self.worker_id
                for attempt in self._attempts.values()
            )
            if working or run_id in self._claiming:
                return False
            self._claiming.add(run_id)
            return True

    def end_claim(self, run_id: str) -> None:
        """The claim that was reserved has become an attempt, or nothing."""
        with self._lock:
            self._claiming.discard(run_id)

    def open(self, attempt: OpenAttempt) -> None:
        """Note an attempt as being worked on, in this thread."""
        self.here.attempt = attempt
        with self._lock:
            self._attempts[id(attempt.message)] = attempt

    def attempt_of(self, message: MessageProxy) -> OpenAttempt | None:
        """The open attempt that this very delivery became."""
        with self._lock:
            return self._attempts.get(id(message))

    def settle(self, attempt: OpenAttempt) -> None:
        """The ledger holds the end of this attempt: its message may be acknowledged."""
        with self._lock:
            self._attempts.pop(id(attempt.message), None)
        if self.here.attempt is attempt:
            self.here.attempt = None

    def open_attempts(self) -> list[OpenAttempt]:
        """Every attempt that this process works on."""
        with self._lock:
            return list(self._attempts.values())

    def persist(self, write: Callable[[], T], *, what: str, run_id: RunId) -> T:
        """Repeat `write`, which does no harm, for as long as the ledger is down."""
        return self._insist(write, what=what, run_id=run_id, wait=_pause)

    def persist_or_stop(self, write: Callable[[], T], *, what: str, run_id: RunId) -> T:
        """The same, until the worker shuts down.

        Raises:
            LedgerUnavailable: the worker shuts down and the ledger is still away.
        """
        return self._insist(write, what=what, run_id=run_id, wait=self.stopping.wait)

    def _insist(
        self, write: Callable[[], T], *, what: str, run_id: RunId, wait: Callable[[float], bool]
    ) -> T:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return write()
            except LedgerUnavailable as error:
                if wait_s == FIRST_WAIT_S:
                    log_notice(logging.ERROR, "ledger_down", waiting_to=what, run=run_id, why=error)
                if wait(wait_s):
                    raise
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _pause(seconds: float) -> bool:
    time.sleep(seconds)
    return False
