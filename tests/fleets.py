"""Worker and scheduler processes under a supervisor, with a producer beside them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dramatiq
import pytest
from dramatiq import Message
from dramatiq.broker import Broker

from lastword.application import Application
from lastword.config import load_config
from lastword.identity import RunId
from lastword.reading.workers import list_workers
from lastword.storage.ledger import Ledger, Row
from lastword.supervisor import Supervisor
from lastword_middleware.broker import worker_broker
from lastword_middleware.installing import install
from tests.processes import processes_of
from tests.support import FLEET_OPERATIONS, Scene, until
from tests.workers import tracker_of

#: Quick, in the proportions of the defaults.
HEARTBEAT_S, LEASE_S, SWEEP_S, GRACE_S = 0.4, 2.0, 0.3, 0.6


@dataclass(frozen=True)
class Fleet:
    """Processes under a supervisor, and a producer beside them."""

    supervisor: Supervisor
    application: Application
    scene: Scene
    folder: Path
    redis_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What its processes have in theirs beside the usual."""
        return dict(self.supervisor.environment)

    def start(self, actor: str, *, delay_ms: int | None = None, **inputs: object) -> RunId:
        """Send a message the plain way; its run."""
        message: Message[None] = Message("default", actor, (), dict(inputs), {})
        broker = self.application.dispatcher._broker  # type: ignore[attr-defined]
        broker.enqueue(message, delay=delay_ms)
        return RunId(message.message_id)

    def worker(self, name: str = "worker-1", *arguments: str) -> None:
        self.supervisor.run(name, "worker", "tests.fleet", "--threads", "2", *arguments)

    def journal(self, word: str = "") -> list[list[str]]:
        file = self.folder / "journal"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.split() for line in lines if line.startswith(word)]

    def running(self, run_id: RunId, *, attempt: int = 1) -> Row:
        """Wait until a run is in the middle of an attempt; its worker's row."""
        until(lambda: ["begin", run_id, str(attempt)] in [line[:3] for line in self.journal()])
        row = until(
            lambda: row if (row := self.scene.row(run_id))["attempt"] == attempt else None,
            what="the start to be recorded",
        )
        worker_id = row["worker_id"]
        return next(row for row in list_workers(self.scene.ledger) if row["id"] == worker_id)


def shared_settings(folder: Path) -> dict[str, str]:
    """What processes are told that have to find each other's deaths soon, and ends sooner."""
    return {
        "LASTWORD_DATA_DIR": str(folder),
        "LASTWORD_HEARTBEAT_INTERVAL": str(HEARTBEAT_S),
        "LASTWORD_LEASE_TTL": str(LEASE_S),
        "LASTWORD_SWEEP_INTERVAL": str(SWEEP_S),
        "LASTWORD_MESSAGE_GRACE": str(GRACE_S),
        "LASTWORD_WORKER_SHUTDOWN_TIMEOUT": "10",
        "LASTWORD_STOP_WAIT": "15",
        # Nobody here waits for a minute of work to end.
        "LASTWORD_ALLOW_UNSAFE_TIMING": "true",
        # Any that is free: several schedulers run here, beside those of other tests.
        "LASTWORD_METRICS_ADDR": "127.0.0.1:0",
        # Dramatiq's threads look up this often, in milliseconds; a stop takes two such looks.
        "dramatiq_worker_timeout": "100",
    }


@pytest.fixture
def fleet(ledger: Ledger, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    file = tmp_path / "lastword.toml"
    file.write_text(FLEET_OPERATIONS)
    environment = {
        **shared_settings(tmp_path),
        "LASTWORD_CONFIG": str(file),
        "LASTWORD_DATABASE_URL": database_url,
        "LASTWORD_BROKER_URL": redis_url,
        "FLEET_JOURNAL": str(tmp_path / "journal"),
    }
    config = load_config(environment)
    broker = worker_broker(config)
    application = install(broker, config=config)
    declare(broker)
    with Supervisor(environment, tmp_path / "logs") as supervisor:
        yield Fleet(supervisor, application, Scene(ledger), tmp_path, redis_url)
        kill_all(tmp_path)
    application.ledger.close()
    tracker_of(broker).ledger.close()
    broker.close()


def kill_all(folder: Path) -> None:
    """Spare what nobody looks at any more the seconds of an end in good order."""
    found = processes_of(str(folder))
    # What watches over the others first: it would tell of their deaths, to the next test perhaps.
    for pid in sorted(found, key=lambda pid: "lastword_middleware.sentinel" not in found[pid]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def declare(broker: Broker) -> None:
    """The producer's side of the actors: names and operations, no code."""
    for name, operation in (
        ("work", "fleet.work"),
        ("once", "fleet.once"),
        ("kill_worker", "fleet.work"),
        ("kill_worker_once", "fleet.once"),
        ("hog", "fleet.work"),
        ("lose_consumer", "fleet.work"),
        ("keep_loop", "fleet.work"),
    ):
        dramatiq.actor(lambda **inputs: None, actor_name=name, operation=operation, broker=broker)  # type: ignore[call-overload]
