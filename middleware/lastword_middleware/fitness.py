"""Whether this worker can still do its work: threads, event loop and parent live and answer.

Dramatiq restarts none of them: a consumer thread that dies in a failover never fetches again, and
the children of a master that was killed go on without anybody to stop them. The process looks
healthy from outside, so it has to notice by itself, and end, so that its supervisor starts another.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass

from dramatiq.asyncio import get_event_loop_thread
from dramatiq.worker import Worker

from lastword.logs import log_notice

#: Seconds the event loop may be kept by one coroutine; all async actors stand still meanwhile, and
#: none of their time limits can be kept.
LOOP_ANSWERS_WITHIN_S = 30.0


@dataclass(slots=True)
class Fitness:
    """Looks at one worker of this process.

    Args:
        worker: Dramatiq's worker.
        gone_within_s: when it would have been killed, had it been told from outside to stop, in
            seconds.
        loop_answers_within_s: how long the event loop may be kept, in seconds.
        ending_for: what was wrong, once that made it end this process.
    """

    worker: Worker
    gone_within_s: float
    loop_answers_within_s: float = LOOP_ANSWERS_WITHIN_S
    ending_for: tuple[str, ...] = ()
    _is_draining: bool = False
    _loop_asked: float | None = None

    def look(self) -> None:
        """End this process in good order if its worker is not fit any more.

        Running attempts are finished first, as with SIGTERM from outside. Only a process that
        Dramatiq's command line made is ended; an application that runs a worker in its own process
        is told by the log.
        """
        troubles = self.troubles()
        if not troubles or self.ending_for:
            return
        self.ending_for = tuple(troubles)
        log_notice(logging.CRITICAL, "worker_unfit", why=", ".join(troubles))
        if multiprocessing.parent_process() is not None:
            self._end()

    def drain(self) -> None:
        """End this process in good order because somebody asked for it. Repeating it does nothing.

        The signal goes to the process that Dramatiq's command line is: one of its workers that
        ended by itself would look to it like one that crashed.
        """
        if self._is_draining or self.ending_for:
            return
        self._is_draining = True
        parent = multiprocessing.parent_process()
        if parent is None or parent.pid is None:
            why = "it runs inside an application, which alone can stop it"
            log_notice(logging.ERROR, "drain_impossible", why=why)
            return
        log_notice(logging.INFO, "drain_requested")
        os.kill(parent.pid, signal.SIGTERM)

    def end_if_stuck(self) -> None:
        """End a worker's process whose main thread is done and that does not end by itself.

        The interpreter waits for threads that nobody stops: told twice to end, Dramatiq leaves its
        event loop's behind, and the process would neither work nor go.
        """
        if threading.main_thread().is_alive() or multiprocessing.parent_process() is None:
            return
        log_notice(logging.CRITICAL, "process_stuck", why="its main thread ended and it did not")
        os._exit(1)

    def _end(self) -> None:
        # A process may hang on its way out: in a coroutine that never yields, or in a lock that it
        # shared with a master which is dead. Nobody else is left to end it.
        last_resort = threading.Timer(self.gone_within_s, os._exit, args=(1,))
        last_resort.daemon = True
        last_resort.start()
        os.kill(os.getpid(), signal.SIGTERM)

    def troubles(self) -> list[str]:
        """What is wrong with the worker, in words."""
        consumers = self.worker.consumers
        troubles = [
            f"the consumer of {queue} died"
            for queue, consumer in list(consumers.items())
            if _has_died(consumer)
        ]
        dead = sum(_has_died(thread) for thread in self.worker.workers)
        if dead:
            troubles.append(f"{dead} of {len(self.worker.workers)} worker threads died")
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            troubles.append("the process that started this one is gone")
        if self._event_loop_is_kept():
            troubles.append(f"the event loop did not answer in {self.loop_answers_within_s:g} s")
        return troubles

    def _event_loop_is_kept(self) -> bool:
        thread = get_event_loop_thread()
        if thread is None or not thread.loop.is_running():
            return False
        if self._loop_asked is None:
            self._loop_asked = time.monotonic()
            thread.loop.call_soon_threadsafe(self._hear_loop)
            return False
        return time.monotonic() - self._loop_asked > self.loop_answers_within_s

    def _hear_loop(self) -> None:
        self._loop_asked = None


def _has_died(thread: threading.Thread) -> bool:
    # Dramatiq lists a thread and starts it then: one that has not begun is not dead.
    return thread.ident is not None and not thread.is_alive()
