"""A worker's threads, from before they are started until they have died."""

from __future__ import annotations

import threading

from dramatiq import Worker
from dramatiq.brokers.stub import StubBroker

from lastword_middleware.fitness import Fitness


def test_a_thread_that_was_not_started_yet_is_not_dead_and_one_that_ended_is() -> None:
    consumer, thread = threading.Thread(), threading.Thread()
    worker = Worker(StubBroker(), worker_threads=1)
    worker.consumers["default"] = consumer  # type: ignore[assignment]
    worker.workers.append(thread)  # type: ignore[arg-type]
    fitness = Fitness(worker, 1.0)
    assert fitness.troubles() == []
    for started in (consumer, thread):
        started.start()
        started.join()
    assert fitness.troubles() == ["the consumer of default died", "1 of 1 worker threads died"]
