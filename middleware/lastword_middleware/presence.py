"""The thread that lets Redis know that this worker is there, however busy or idle it is.

Apart from the lease's thread: a Redis that does not answer must not cost the lease.
"""

from __future__ import annotations

import logging
import threading
import time

import redis
from dramatiq.brokers.redis import RedisBroker

from lastword.logs import log_notice


class Presence(threading.Thread):
    """Touches the broker's own heartbeat of this process until it is stopped.

    To Redis a worker lives by its commands, and one that is busy to the brim sends none.

    Args:
        broker: the broker.
        every_s: seconds between two touches.
    """

    def __init__(self, broker: RedisBroker, *, every_s: float) -> None:
        super().__init__(name="lastword-presence", daemon=True)
        self._broker = broker
        self._every_s = every_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Touch until stopped. A failed touch is told once, and the next one tries again."""
        key = f"{self._broker.namespace}:__heartbeats__"
        was_silent = False
        while not self._stopped.wait(self._every_s):
            try:
                self._broker.client.zadd(key, {self._broker.broker_id: int(time.time() * 1000)})
                was_silent = False
            except redis.RedisError as error:
                if not was_silent:
                    log_notice(logging.ERROR, "broker_heartbeat_failed", why=error)
                was_silent = True

    def stop(self) -> None:
        """Touch no more. One that is under way ends by itself."""
        self._stopped.set()
