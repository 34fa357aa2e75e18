"""Draining: a worker that is told to stop takes nothing new, ends what it has begun, and goes.

Stands last in the list of middleware, behind whatever interrupts attempts at a stop.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from dramatiq.broker import Broker, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import iter_queue
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker

from lastword.config import Config
from lastword_middleware.command_line import is_made_by_dramatiq, shutdown_timeout_s
from lastword_middleware.ordering import Place

#: Seconds between two looks at the threads that still work.
LOOK_EVERY_S = 0.1


class Drain(Middleware):
    """Waits for attempts as long as it was promised, and for all of them together.

    Dramatiq subtracts the time since the beginning once for each thread: with eight of them it can
    leave one that has hardly worked for half as long as it was told to wait. And it keeps what was
    fetched and not begun until the last attempt has ended.

    Args:
        config: the configuration.
    """

    stands = Place.LAST

    def __init__(self, config: Config) -> None:
        self._config = config

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Give back what was not begun, and wait for the rest.

        An application that stops a worker of its own says itself for how long it waits.
        """
        if not is_made_by_dramatiq():
            return
        deadline = time.monotonic() + shutdown_timeout_s(self._config)
        for thread in worker.workers:
            thread.stop()
        while any(thread.is_alive() for thread in worker.workers):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            _give_back(broker, worker)
            alive = next((thread for thread in worker.workers if thread.is_alive()), None)
            if alive is not None:
                alive.join(min(LOOK_EVERY_S, left_s))
        # Dramatiq would wait for those that have not ended once more.
        worker.workers[:] = [thread for thread in worker.workers if not thread.is_alive()]


def _give_back(broker: Broker, worker: Worker) -> None:
    # RabbitMQ would hand them out to this worker again, as long as it listens for confirmations.
    if not isinstance(broker, RedisBroker):
        return
    waiting: dict[str, list[MessageProxy]] = defaultdict(list)
    queue: Any = worker.work_queue
    for item in iter_queue(queue):
        waiting[item.message.queue_name].append(item.message)
    for queue_name, messages in waiting.items():
        try:
            worker.consumers[queue_name].requeue_messages(messages)
        except BrokerConnectionError:
            # They stay in this worker's hold, and are found there once it has ended.
            continue
