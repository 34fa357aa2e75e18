"""What one process works on: its open attempts, and what its threads tell each other about them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from dramatiq.broker import MessageProxy

from lastword.current import CurrentRun
from lastword.identity import RunId, WorkerId
from lastword.service.values import Delivery
from lastword_middleware.options import dispatch_of


@dataclass(slots=True)
class OpenAttempt:
    """An attempt that this process works on and whose end is not in the ledger yet.

    Attributes:
        message: the delivery it came with; another delivery of the same run is not this attempt.
        retries: the tries after the first that the message says were spent before this one.
        limit_s: its time limit, in seconds.
        dispatch: the sending that the delivery is of. A retry gives its message the next number.
        began: when it was begun, by this process's monotonic clock.
        thread_id: the thread that is inside its actor; None outside of it.
        is_cancelled: whether it was asked to stop.
        is_overdue: whether its run was ended because it did not stop at its limit.
    """

    run: CurrentRun
    worker_id: WorkerId
    message: MessageProxy
    retries: int
    limit_s: float = float("inf")
    dispatch: int | None = None
    began: float = field(default_factory=time.monotonic)
    thread_id: int | None = None
    is_cancelled: bool = False
    is_overdue: bool = False


class Here(threading.local):
    """What the hooks of one worker thread tell each other about the delivery in its hands."""

    #: The attempt this thread works on.
    attempt: OpenAttempt | None = None
    #: The delivery that Lastword itself refused, and the one that must stay unacknowledged.
    refused: MessageProxy | None = None
    held: MessageProxy | None = None


@dataclass(slots=True)
class Work:
    """The attempts of one process. Threads share it."""

    here: Here = field(default_factory=Here)
    _attempts: dict[int, OpenAttempt] = field(default_factory=dict)
    _by_run: dict[str, list[OpenAttempt]] = field(default_factory=dict)
    _claiming: set[tuple[str, int]] = field(default_factory=set)
    #: By identity; the messages are kept, so that no other can take an identity over.
    _deferred: dict[int, MessageProxy] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, message: MessageProxy, worker_id: WorkerId | None) -> bool:
        """Let one thread claim a dispatch of a run; False if another claims it or works on it.

        The ledger cannot tell two threads of one worker apart: a claim it sees twice may be one
        whose answer was lost. An attempt from before this worker was given up does not count, nor
        one of an older dispatch: that is fenced.
        """
        key = _key(message)
        with self._lock:
            if key in self._claiming or self._is_open(*key, worker_id):
                return False
            self._claiming.add(key)
            return True

    def working_on(
        self, deliveries: Iterable[Delivery], worker_id: WorkerId | None
    ) -> set[Delivery]:
        """Those of which some message has become an attempt of this worker."""
        with self._lock:
            return {item for item in deliveries if self._is_open(*item, worker_id)}

    def _is_open(self, run_id: str, dispatch: int, worker_id: WorkerId | None) -> bool:
        return any(
            attempt.worker_id == worker_id and attempt.dispatch == dispatch
            for attempt in self._by_run.get(run_id, ())
        )

    def end_claim(self, message: MessageProxy) -> None:
        """The claim that was reserved has become an attempt, or nothing."""
        with self._lock:
            self._claiming.discard(_key(message))

    def claimed_runs(self) -> list[RunId]:
        """The runs that threads are about to begin: perhaps begun, for all that the ledger knows.

        To be read before the attempts that they become.
        """
        with self._lock:
            return [RunId(run_id) for run_id, _ in self._claiming]

    def defer(self, message: MessageProxy) -> None:
        """The end of this message's attempt was given to the writer, which acknowledges it."""
        self._deferred[id(message)] = message

    def take_deferred(self, message: MessageProxy) -> bool:
        """Whether the writer acknowledges this message; asked once."""
        return self._deferred.pop(id(message), None) is not None

    def is_deferred(self, message: MessageProxy) -> bool:
        """Whether the writer will acknowledge this message."""
        return id(message) in self._deferred

    def open(self, attempt: OpenAttempt) -> None:
        """Note an attempt as being worked on, in this thread."""
        self.here.attempt = attempt
        with self._lock:
            self._attempts[id(attempt.message)] = attempt
            self._by_run.setdefault(attempt.run.run_id, []).append(attempt)

    def attempt_of(self, message: MessageProxy) -> OpenAttempt | None:
        """The open attempt that this very delivery became."""
        return self._attempts.get(id(message))

    def settle(self, attempt: OpenAttempt) -> None:
        """The ledger holds the end of this attempt: its message may be acknowledged."""
        with self._lock:
            if self._attempts.pop(id(attempt.message), None) is not None:
                of_run = self._by_run[attempt.run.run_id]
                of_run.remove(attempt)
                if not of_run:
                    del self._by_run[attempt.run.run_id]
        if self.here.attempt is attempt:
            self.here.attempt = None

    def open_attempts(self) -> list[OpenAttempt]:
        """Every attempt that this process works on."""
        with self._lock:
            return list(self._attempts.values())


def _key(message: MessageProxy) -> tuple[str, int]:
    # An unmarked message becomes the first dispatch of its run while it is claimed.
    return message.message_id, dispatch_of(message.options) or 1
