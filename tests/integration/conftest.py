"""A tracked broker on a real Redis with workers in this process, and a local Graph to sync."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from dramatiq.broker import Broker
from dramatiq.worker import Worker

import lastword_middleware
from lastword.config import Config
from lastword.service.tenants import add_tenant
from lastword.storage.ledger import Ledger
from lastword_middleware.broker import worker_broker
from lastword_middleware.messages import TrackMessages
from lastword_middleware.tracker import Tracker
from tests.provider import TENANT, Provider, running_provider
from tests.stage import Stage
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


@pytest.fixture(scope="session")
def provider_server() -> Iterator[Provider]:
    """One local Graph a session; stopping one takes a while."""
    with running_provider() as running:
        yield running


@pytest.fixture
def provider(provider_server: Provider) -> Provider:
    """A local Graph that has seen nothing yet."""
    provider_server.start_afresh()
    return provider_server


@pytest.fixture
def stage(provider: Provider, ledger: Ledger) -> Stage:
    """A provider and records to sync it into, on both databases."""
    add_tenant(ledger, tenant_id=TENANT, name="Contoso")
    return Stage(provider, ledger)
