"""What one process knows of its own tracking: the worker it is, and the attempts it works on."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lastword import __version__
from lastword.config import Config
from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId, new_worker_id
from lastword.logs import log_notice
from lastword.service import RunService, WorkerService
from lastword.service.counters import Counted, count
from lastword.service.values import Delivery
from lastword.service.workers import Beat, NewWorker, Progress
from lastword.storage.ledger import Ledger
from lastword_middleware.command_line import shutdown_timeout_s
from lastword_middleware.prefetching import Hands
from lastword_middleware.reservations import Held, Reservations
from lastword_middleware.tracing import Tracing
from lastword_middleware.working import OpenAttempt, Work
from lastword_middleware.writing import FIRST_WAIT_S, LONGEST_WAIT_S, Writer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a heartbeat brings back for the work in hand.

    Attributes:
        to_stop: runs of this worker, in work or held, that were asked to stop.
        fenced: attempts whose run was closed or handed on: nothing that they report counts.
        drain: whether somebody asked this worker to finish and end.
    """

    to_stop: frozenset[RunId] = frozenset()
    fenced: Sequence[OpenAttempt] = ()
    drain: bool = False


@dataclass(slots=True)
class Tracker:
    """The state that the hooks of one broker share.

    Attributes:
        config: the configuration.
        ledger: the ledger, on connections of its own.
        application: the same ledger on the application's own connections, if it has any.
        stopping: set while the worker shuts down.
        work: the attempts it works on.
        reservations: what was fetched and not begun.
        hands: the messages that are here, by queue.
        writer: what writes the truths of a worker; None where no worker runs.
        defers_acks: whether the broker's consumers leave acknowledging to the writer.
        unsafe_timing: the timing rules that this worker was allowed to break.
        tracing: what is told of starts and attempts.
    """

    config: Config
    ledger: Ledger
    application: Ledger | None = None
    runs: RunService = field(init=False)
    workers: WorkerService = field(init=False)
    worker_id: WorkerId | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    work: Work = field(default_factory=Work)
    reservations: Reservations = field(default_factory=Reservations)
    hands: dict[str, Hands] = field(default_factory=dict)
    writer: Writer | None = None
    defers_acks: bool = False
    unsafe_timing: tuple[str, ...] = ()
    tracing: Tracing = field(default_factory=Tracing)
    on_boot: list[Callable[[WorkerId], object]] = field(default_factory=list)
    _threads: int = 0
    _lease_until: float = 0.0
    _broker_id: str | None = None
    _queues: tuple[str, ...] = ()
    _last_beat_ms: int = 0
    #: Reservations that could not be given back yet.
    _owed: list[Held] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runs = RunService(self.ledger)
        self.workers = WorkerService(self.ledger)

    def boot(self, *, threads: int, broker_id: str | None, queues: tuple[str, ...] = ()) -> None:
        """Become a worker of these queues, under a fresh id."""
        self._threads, self._broker_id, self._queues = threads, broker_id, queues
        self._last_beat_ms = 0
        worker_id = new_worker_id()
        asked = time.monotonic()
        self.workers.boot(
            NewWorker(
                worker_id=worker_id,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
                threads=threads,
                broker_id=broker_id,
                queues=queues,
                revision=self.config.revision,
                shutdown_timeout_s=shutdown_timeout_s(self.config),
                stop_wait_s=self.config.stop_wait,
                unsafe_timing=self.unsafe_timing,
            ),
            lease_ttl_s=self.config.lease_ttl,
        )
        self.worker_id = worker_id
        self._lease_until = asked + self.config.lease_ttl
        if self.writer is None or not self.writer.is_alive():
            self.writer = Writer(self.ledger, self.runs)
            self.writer.start()
        for tell in self.on_boot:
            tell(worker_id)

    @property
    def lease_is_live(self) -> bool:
        """Whether this worker knows its lease to be live, by its own clock; never too late."""
        return self.worker_id is not None and time.monotonic() < self._lease_until

    def heartbeat(self) -> Asked:
        """Renew the lease and carry progress; a worker that was given up starts over as a new one.

        Its open attempts keep the old id, so whatever they still report is a late result.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        if self.worker_id is None:
            return Asked()
        owed, self._owed = self._owed, []
        self.give_back(owed)
        # A claim whose answer is on its way may be an attempt already that nobody works on yet.
        claimed = self.work.claimed_runs()
        attempts = [item for item in self.work.open_attempts() if item.worker_id == self.worker_id]
        asked = time.monotonic()
        beat = self._beat(self.worker_id, attempts, claimed)
        if beat is None:
            self._lease_until = 0.0
            # None: it has stopped while this beat was under way, and stays so.
            if self.worker_id is not None:
                log_notice(logging.ERROR, "lease_lost", worker=self.worker_id)
                self.boot(threads=self._threads, broker_id=self._broker_id, queues=self._queues)
            return Asked()
        self._lease_until = asked + self.config.lease_ttl
        self._last_beat_ms = beat.at_ms
        fenced = [
            item for item in attempts if beat.current.get(item.run.run_id) != item.run.attempt
        ]
        return Asked(beat.cancel, fenced, beat.drain)

    def give_back(self, given: Sequence[Held]) -> list[Held]:
        """Let others have what was held here and not begun; those whose release must wait.

        They are released with the next heartbeat that reaches the ledger.
        """
        mine = [held for held in given if held.reservation.worker_id is not None]
        by_worker: dict[WorkerId, list[Held]] = {}
        for held in mine:
            assert held.reservation.worker_id is not None
            by_worker.setdefault(held.reservation.worker_id, []).append(held)
        kept: list[Held] = []
        for worker_id, items in by_worker.items():
            deliveries = [Delivery(i.reservation.run_id, i.reservation.dispatch) for i in items]
            try:
                self.runs.release(deliveries, worker_id=worker_id)
            except LedgerUnavailable as error:
                log_notice(logging.WARNING, "release_unrecorded", why=error, messages=len(items))
                kept += items
        self._owed += kept
        return kept

    def _beat(
        self, worker_id: WorkerId, attempts: Sequence[OpenAttempt], claimed: Sequence[RunId]
    ) -> Beat | None:
        progress = [
            Progress(attempt.run.run_id, attempt.run.attempt, counts)
            for attempt in attempts
            if (counts := attempt.run.take_unsaved()) is not None
        ]
        beat: Beat | None = None
        try:
            beat = self.workers.heartbeat(
                worker_id,
                lease_ttl_s=self.config.lease_ttl,
                working=list(
                    dict.fromkeys([*(attempt.run.run_id for attempt in attempts), *claimed])
                ),
                # This list was drawn after the last beat had been written, and perhaps long
                # before this one will be: a claim since then may be missing from it.
                listed_at_ms=self._last_beat_ms,
                progress=progress,
                draining=self.stopping.is_set(),
            )
        finally:
            # A run whose start is not recorded yet keeps nothing.
            saved = beat.saved if beat else frozenset()
            told = {item.run_id for item in progress} - saved
            for attempt in attempts:
                if attempt.run.run_id in told:
                    attempt.run.keep_unsaved()
        return beat

    def end(self) -> bool:
        """Stop being a worker; whether in good order: attempts still open are lost with it."""
        if self.worker_id is None:
            return True
        worker_id, self.worker_id = self.worker_id, None
        abandoned = len(self.work.open_attempts())
        cause = {"seen": "it stopped with work in hand", "attempts": abandoned}
        self.workers.end(worker_id, cause=cause if abandoned else None)
        return not abandoned

    def working_on(self, deliveries: Iterable[Delivery]) -> set[Delivery]:
        """Those of which some message has become an attempt of this worker."""
        return self.work.working_on(deliveries, self.worker_id)

    def require_written(self) -> None:
        """Wait until what this process has begun and ended so far is durable.

        Raises:
            LedgerUnavailable: the worker shuts down and the ledger is still away.
        """
        if self.writer is not None and not self.writer.drain():
            raise LedgerUnavailable(
                f"the ledger at {self.ledger.address} was away until this worker stopped",
                address=self.ledger.address,
            )

    def count_swallowed(self, what: str) -> None:
        """Count what Dramatiq would have swallowed; a ledger that is down loses no more than it."""
        try:
            count(self.ledger, Counted.SWALLOWED, what)
        except LedgerUnavailable as error:
            log_notice(logging.WARNING, "uncounted", what=what, why=error)

    def persist_or_stop(self, write: Callable[[], T], *, what: str, run_id: RunId) -> T:
        """Repeat `write`, which does no harm, while the ledger is down and the worker works.

        Raises:
            LedgerUnavailable: the worker shuts down and the ledger is still away.
        """
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return write()
            except LedgerUnavailable as error:
                if wait_s == FIRST_WAIT_S:
                    log_notice(logging.ERROR, "ledger_down", waiting_to=what, run=run_id, why=error)
                if self.stopping.wait(wait_s):
                    raise
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
