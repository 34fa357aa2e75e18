"""Interrupts attempts that were asked to stop, and only while they are inside their actor.

Stands last in the list of middleware: armed last and disarmed first, so that an interrupt never
hits the ledger's work or ends a worker thread.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware, TimeLimit
from dramatiq.threading import Interrupt, raise_thread_exception

from lastword_middleware.ordering import Place
from lastword_middleware.tracker import Tracker
from lastword_middleware.working import OpenAttempt


class CancelRequested(Interrupt):
    """Raised in the thread of an actor whose run was asked to stop.

    An actor may catch it to clean up, and should then return or raise soon: a run that does not
    stop within its bound is ended as one that ignored it.
    """


class InterruptAttempts(Middleware):
    """Carries requests to stop into the threads of actors.

    Args:
        tracker: the state shared with the other middleware.
    """

    stands = Place.INTERRUPTING

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._lock = threading.Lock()

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """From here on the thread is inside the actor.

        Raises:
            CancelRequested: the run was asked to stop just before that.
        """
        attempt = self.tracker.work.attempt_of(message)
        if attempt is None:
            return
        with self._lock:
            attempt.thread_id = threading.get_ident()
            if attempt.is_cancelled:
                raise CancelRequested

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """The thread is outside the actor again: what was still to be raised in it is not.

        That goes for Dramatiq's time limit too, which is disarmed here: an exception of it that
        came a moment too late would end the thread, and take the message with it.
        """
        attempt = self.tracker.work.attempt_of(message)
        if attempt is None:
            return
        while attempt.thread_id is not None:
            try:
                for item in broker.middleware:
                    if isinstance(item, TimeLimit):
                        item.after_process_message(broker, message)
                with self._lock:
                    _withdraw()
                    attempt.thread_id = None
            except Interrupt:
                # Raised between two lines of this hook. The next round disarms what is left.
                continue

    after_skip_message = after_process_message

    def cancel(self, attempt: OpenAttempt) -> None:
        """Ask an attempt to stop. Repeating it does nothing."""
        with self._lock:
            if attempt.is_cancelled:
                return
            attempt.is_cancelled = True
            if attempt.thread_id is not None:
                raise_thread_exception(attempt.thread_id, CancelRequested)


class _Withdrawn(Interrupt):
    """Takes the place of what was still to be raised."""


def _withdraw() -> None:
    # Not by setting none: until Python 3.13 that leaves the interpreter looking for an exception at
    # every turn for ever, and under a profiler or a debugger it never gets on.
    thread_id = ctypes.c_ulong(threading.get_ident())
    withdrawn = ctypes.py_object(_Withdrawn)
    try:
        # None is found where threads are none of the interpreter's, as with gevent.
        found = ctypes.pythonapi.PyThreadState_SetAsyncExc(thread_id, withdrawn)
        while found:
            pass
    except _Withdrawn:
        return
