"""Whether this worker can still do its work: its threads live, and its parent does.

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
from dataclasses import dataclass

from dramatiq.worker import Worker

from lastword.logs import log_notice

#: Seconds beyond the end of its last attempt that an unfit process gets to exit.
EXIT_MARGIN_S = 5.0


@dataclass(slots=True)
class Fitness:
    """Looks at one worker of this process.

    Args:
        worker: Dramatiq's worker.
        stops_within_s: how long it may take to finish what it is working on, in seconds.
    """

    worker: Worker
    stops_within_s: float
    _is_ending: bool = False

    def look(self) -> None:
        """End this process in good order if its worker is not fit any more.

        Running attempts are finished first, as with SIGTERM from outside. Only a process that
        Dramatiq's command line made is ended; an application that runs a worker in its own process
        is told by the log.
        """
        troubles = self._troubles()
        if not troubles or self._is_ending:
            return
        self._is_ending = True
        log_notice(logging.CRITICAL, "worker_unfit", why=", ".join(troubles))
        if multiprocessing.parent_process() is not None:
            self._end()

    def _end(self) -> None:
        # A process may hang on its way out: in a coroutine that never yields, or in a lock that it
        # shared with a master which is dead. Nobody else is left to end it.
        last_resort = threading.Timer(self.stops_within_s + EXIT_MARGIN_S, os._exit, args=(1,))
        last_resort.daemon = True
        last_resort.start()
        os.kill(os.getpid(), signal.SIGTERM)

    def _troubles(self) -> list[str]:
        consumers = self.worker.consumers
        troubles = [
            f"the consumer of {queue} died"
            for queue, consumer in list(consumers.items())
            if not consumer.is_alive()
        ]
        dead = sum(not thread.is_alive() for thread in self.worker.workers)
        if dead:
            troubles.append(f"{dead} of {len(self.worker.workers)} worker threads died")
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            troubles.append("the process that started this one is gone")
        return troubles
