"""A whole system for one episode: two workers, two schedulers, Redis, a ledger, and proxies."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dramatiq
import psycopg
import redis

from lastword.application import Application
from lastword.config import load_config
from lastword.errors import LastwordError
from lastword.starting import start_in
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from lastword.supervisor import Supervisor
from lastword_middleware.broker import worker_broker
from lastword_middleware.installing import install
from tests.faults.campaign.plan import Episode
from tests.faults.campaign.proxy import Proxy
from tests.faults.campaign.servers import RedisServer, small_disk
from tests.fleets import kill_all, shared_settings
from tests.postgres import Databases
from tests.processes import processes_of
from tests.support import until
from tests.workers import tracker_of

#: Seconds that a worker which was told to stop is given.
STOP_WAIT_S = 3.0

ACTORS = {
    "steps": "campaign.steps",
    "once": "campaign.once",
    "breaks": "campaign.breaks",
    "hog": "campaign.steps",
    "stubborn": "campaign.steps",
    "hungry": "campaign.steps",
    "kill_worker": "campaign.steps",
}

LIMITS = """
label = "Work of the campaign"
time_limit = 60
queued_stale_after = 60
running_stale_after = 90
max_queue_wait = 90
min_backoff = 0.1
max_backoff = 0.3
max_deliveries = 3
"""
OPERATIONS = f"""
[operations."campaign.steps"]
{LIMITS}
max_retries = 2
on_worker_lost = "redispatch"
[operations."campaign.once"]
{LIMITS}
max_retries = 0
on_worker_lost = "fail"
[operations."campaign.breaks"]
{LIMITS}
max_retries = 1
on_worker_lost = "redispatch"
"""


@dataclass
class System:
    """What runs, and what is known of it.

    Attributes:
        database_url: where the ledger is, past the proxies.
        networks: the proxies of the first worker alone.
        postgres: the server, if the ledger is there.
        accepted: the runs that the producer was told are accepted.
        refused: how many starts were answered with an error.
        harmed: processes that something was done to.
    """

    folder: Path
    database_url: str
    redis: RedisServer
    networks: list[Proxy]
    postgres: Any
    application: Application
    supervisors: list[Supervisor] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    harmed: set[int] = field(default_factory=set)
    healed: threading.Event = field(default_factory=threading.Event)

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def start(self, actor: str, **inputs: Any) -> str | None:
        """Start a run as an application does; its id if it was accepted."""
        message: dramatiq.Message[None] = dramatiq.Message("default", actor, (), inputs, {})
        broker = self.application.dispatcher._broker  # type: ignore[attr-defined]
        try:
            if actor in ("steps", "once", "breaks"):
                run_id = str(self._started(ACTORS[actor], inputs))
            else:
                run_id = broker.enqueue(message).message_id
        except (LastwordError, dramatiq.DramatiqError, redis.RedisError):
            self.refused += 1
            return None
        self.accepted.append(run_id)
        return run_id

    def _started(self, operation: str, inputs: dict[str, Any]) -> str:
        # A number of its own, for two of the same inputs are one run.
        return start_in(
            self.application, operation, inputs=inputs, tenant=None, initiator=None
        ).run_id

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement gives, whatever is between the others and the database."""
        if self.postgres is None:
            connection = sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=10)
            try:
                return connection.execute(statement).fetchall()
            finally:
                connection.close()
        with psycopg.connect(self.database_url) as served:
            return served.execute(statement.encode()).fetchall()

    def workers(self) -> list[int]:
        """The worker processes that are alive, by the ledger, the oldest first."""
        rows = self.rows(
            "SELECT pid FROM lastword_worker WHERE ended_at IS NULL ORDER BY started_at"
        )
        return [pid for (pid,) in rows]

    def worker_apart(self) -> list[int]:
        """The processes of the worker that has a network and a clock of its own."""
        mine = processes_of("CAMPAIGN_APART=1")
        return [pid for pid in self.workers() if pid in mine and str(self.folder) in _environ(pid)]

    def open_runs(self) -> int:
        [(count,)] = self.rows("SELECT count(*) FROM lastword_run WHERE status <> 'completed'")
        return int(count)

    @property
    def clock_file(self) -> Path:
        return self.folder / "clock"


def _environ(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text()
    return ""


@contextmanager
def running(episode: Episode, databases: Databases, postgres: Any) -> Iterator[System]:
    """A system for an episode, with everything up."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campaign-system-")))
        server = stack.enter_context(RedisServer(keeps=episode.fault.name == "redis-restart-aof"))
        url = _ledger(episode, folder, databases, stack)
        networks = [stack.enter_context(Proxy(server.socket))]
        apart = {"LASTWORD_BROKER_URL": f"redis://127.0.0.1:{networks[0].port}/0"}
        if episode.database == "postgresql":
            networks.append(stack.enter_context(Proxy(_socket_of(url))))
            apart["LASTWORD_DATABASE_URL"] = _through(url, networks[1].port)
        environment = _environment(folder, url, server)
        system = System(
            folder,
            url,
            server,
            networks,
            postgres if episode.database == "postgresql" else None,
            stack.enter_context(_producer(environment)),
        )
        stack.callback(kill_all, folder)
        _start_processes(system, environment, {**environment, **apart, **_clock(system)}, stack)
        until(lambda: len(system.workers()) >= 2, within_s=60, what="two workers")
        yield system


def _start_processes(
    system: System, common: dict[str, str], apart: dict[str, str], stack: ExitStack
) -> None:
    apart["CAMPAIGN_APART"] = "1"
    for environment, names in ((apart, ["apart"]), (common, ["worker", "first", "second"])):
        supervisor = Supervisor(environment, system.folder / "logs", stop_within_s=STOP_WAIT_S)
        stack.enter_context(supervisor)
        # Entered last, left first: those who wait for the end of all would wait long.
        stack.callback(kill_all, system.folder)
        system.supervisors.append(supervisor)
        for name in names:
            if name in ("apart", "worker"):
                supervisor.run(name, "worker", "tests.faults.campaign.jobs", "--threads", "4")
            else:
                supervisor.run(name, "scheduler")


def _environment(folder: Path, url: str, server: RedisServer) -> dict[str, str]:
    (folder / "lastword.toml").write_text(OPERATIONS)
    return {
        **shared_settings(folder),
        "LASTWORD_CONFIG": str(folder / "lastword.toml"),
        "LASTWORD_DATABASE_URL": url,
        "LASTWORD_BROKER_URL": f"unix://{server.socket}",
        "LASTWORD_SHIPPED_OPERATIONS": "false",
        "CAMPAIGN_JOURNAL": str(folder / "journal"),
    }


def _clock(system: System) -> dict[str, str]:
    """A clock of its own for whoever has this in the environment, and only the one on the wall."""
    package = find_spec("libfaketime")
    assert package is not None
    assert package.origin is not None
    system.clock_file.write_text("+0s\n")
    library = Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(system.clock_file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def _ledger(episode: Episode, folder: Path, databases: Databases, stack: ExitStack) -> str:
    if episode.database == "postgresql":
        name = databases.take()
        stack.callback(databases.drop, name)
        return databases.url(name)
    place = folder
    if episode.fault.name == "disk-full":
        place = stack.enter_context(small_disk(folder / "disk"))
    url = f"sqlite:///{place / 'lastword.db'}"
    ledger = open_ledger(url)
    migrate(ledger)
    ledger.close()
    return url


def _socket_of(url: str) -> str:
    [folder] = parse_qs(urlsplit(url).query)["host"]
    return f"{folder}/.s.PGSQL.5432"


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"


@contextmanager
def _producer(environment: dict[str, str]) -> Iterator[Application]:
    config = load_config(environment)
    broker = worker_broker(config)
    application = install(broker, config=config)
    for name, operation in ACTORS.items():
        dramatiq.actor(  # type: ignore[call-overload]
            lambda **inputs: None, actor_name=name, operation=operation, broker=broker
        )
    try:
        yield application
    finally:
        application.ledger.close()
        tracker_of(broker).ledger.close()
        broker.close()
