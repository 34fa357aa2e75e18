"""Servers that go away and come back while runs pass through: all end right, none is done twice."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from lastword.embedded import find_server
from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.orphans import tied
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from tests.faults.test_redispatch import counted, executions
from tests.fleets import Fleet
from tests.postgres import running_postgres
from tests.support import until

RUNS = 300


@dataclass
class RedisServer:
    """A redis-server that can be stopped and started again, with or without what it held."""

    folder: Path
    keeps: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'redis.sock'}"

    def start(self) -> None:
        command = [
            find_server(),
            *("--port", "0", "--unixsocket", str(self.folder / "redis.sock")),
            *("--dir", str(self.folder), "--save", ""),
            *("--appendonly", "yes" if self.keeps else "no"),
        ]
        self.process = subprocess.Popen(
            tied(command), stdout=subprocess.DEVNULL, start_new_session=True
        )
        until(self._answers, what="redis-server")

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@pytest.fixture
def server() -> Iterator[RedisServer]:
    folder = Path(tempfile.mkdtemp(prefix="lastword-restart-"))
    server = RedisServer(folder)
    server.start()
    yield server
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    shutil.rmtree(folder)


@pytest.fixture
def redis_url(server: RedisServer) -> str:
    return server.url


@pytest.fixture
def postgres() -> Iterator[Any]:
    """A server of this test alone, to be restarted."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    if "postgres" in request.fixturenames:
        url = str(request.getfixturevalue("postgres").get_uri())
        ledger = open_ledger(url)
        migrate(ledger)
        ledger.close()
        return url
    return sqlite_url


@dataclass
class Producer(threading.Thread):
    """Sends runs the plain way, whatever becomes of each sending."""

    fleet: Fleet
    unknown: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        for _ in range(RUNS):
            try:
                self.fleet.start("work", seconds=0.01)
            except (redis.RedisError, LastwordError, ConnectionError):
                # Accepted or not is what the ledger says.
                self.unknown += 1
            self.ended.wait(0.01)
        self.fleet.scene.ledger.leave_thread()


@contextmanager
def load(fleet: Fleet, *, until_done: int = 60) -> Iterator[Producer]:
    """Workers, a scheduler and a producer; entered once so many runs have gone through."""
    fleet.supervisor.run("scheduler", "scheduler")
    for number in (1, 2):
        fleet.worker(f"worker-{number}")
    producer = Producer(fleet)
    producer.start()
    until(
        lambda: counted(fleet.scene.ledger, "status").get("completed", 0) >= until_done,
        what="runs to pass through",
    )
    yield producer
    producer.join()


def require_all_done_once(fleet: Fleet, *, at_least: int) -> None:
    ledger = fleet.scene.ledger
    until(lambda: set(counted(ledger, "status")) == {"completed"}, within_s=45)
    assert set(counted(ledger, "outcome")) == {"succeeded"}, counted(ledger, "reason")
    with ledger.session():
        runs = [row["id"] for row in ledger.execute("SELECT id FROM lastword_run")]
        events = ledger.execute(
            "SELECT run_id, COUNT(*) AS n FROM lastword_event WHERE terminal GROUP BY run_id"
        )
    assert len(runs) >= at_least
    assert {row["n"] for row in events} == {1}
    # No worker was lost, so nothing was done twice.
    assert executions(fleet) == Counter({RunId(run_id): 1 for run_id in runs})


@pytest.mark.parametrize("keeps", [True, False], ids=["with its file", "with nothing"])
def test_redis_restarts(fleet: Fleet, server: RedisServer, keeps: bool) -> None:
    if keeps:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("appendonly", "yes")
        server.keeps = True
    with load(fleet) as producer:
        server.stop()
        until(lambda: producer.unknown, what="a sending into nothing")
        server.start()
    # What was accepted while Redis was away was sent from the ledger.
    require_all_done_once(fleet, at_least=RUNS)


def test_redis_is_read_only_for_five_seconds(fleet: Fleet, server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client, load(fleet) as producer:
        client.config_set("min-replicas-to-write", 1)
        until(lambda: producer.unknown, what="a sending that was refused")
        threading.Event().wait(5)
        client.config_set("min-replicas-to-write", 0)
    require_all_done_once(fleet, at_least=RUNS)


def test_postgresql_restarts(fleet: Fleet, postgres: Any, ledger: Ledger) -> None:
    with load(fleet):
        postgres.stop()
        threading.Event().wait(1)
        postgres.start()
    # A caller is told at once that the ledger is away: what it sends then is not accepted.
    require_all_done_once(fleet, at_least=RUNS // 2)
    with ledger.session():
        rows = ledger.execute("SELECT id FROM lastword_worker WHERE ending = 'lost'")
    assert rows == []
