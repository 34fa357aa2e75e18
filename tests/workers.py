"""A tracked broker on a real Redis, with workers in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dramatiq.broker import Broker
from dramatiq.worker import Worker

import lastword_middleware
from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_middleware.broker import worker_broker
from lastword_middleware.messages import TrackMessages
from lastword_middleware.tracker import Tracker
from tests.support import Scene, until

StartWorker = Callable[[], Worker]


def tracker_of(broker: Broker) -> Tracker:
    """What Lastword's middleware of a broker shares."""
    [tracker] = [item.tracker for item in broker.middleware if isinstance(item, TrackMessages)]
    return tracker


def give_worker_up(broker: Broker, scene: Scene, run_id: str) -> None:
    """Declare the worker of a running run lost, and wait until it goes on under another id."""
    until(lambda: scene.row(run_id)["status"] == "running")
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET ended_at = 1, ending = 'lost'")
    until(lambda: tracker_of(broker).worker_id != scene.row(run_id)["worker_id"])


@pytest.fixture
def broker(config: Config) -> Iterator[Broker]:
    """A tracked broker; actors are declared on it by the tests."""
    broker = worker_broker(config, async_actors=True)
    application = lastword_middleware.install(broker, config=config)
    yield broker
    application.ledger.close()
    tracker_of(broker).ledger.close()
    broker.client.close()  # type: ignore[attr-defined]


@pytest.fixture
def scene(sqlite_ledger: Ledger) -> Scene:
    """The ledger that the broker writes to."""
    return Scene(sqlite_ledger)


@pytest.fixture
def start_worker(broker: Broker) -> Iterator[StartWorker]:
    """Start a worker of the broker; it is stopped after the test."""
    workers: list[Worker] = []

    def start() -> Worker:
        worker = Worker(broker, worker_timeout=50, worker_threads=2)
        workers.append(worker)
        # As Dramatiq's command line does; TimeLimit begins to watch with it.
        broker.emit_after("process_boot")
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop(timeout=5000)


def counter(scene: Scene, name: str, label: str) -> int:
    """What the ledger has counted under a name."""
    param = scene.ledger.dialect.param
    with scene.ledger.session():
        rows = scene.ledger.execute(
            f"SELECT value FROM lastword_counter WHERE name = {param} AND label = {param}",
            name,
            label,
        )
    return int(rows[0]["value"]) if rows else 0
