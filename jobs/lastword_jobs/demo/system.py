"""The whole system on one machine: Redis, ledger, local Graph, workers, scheduler."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from lastword.config import EMBEDDED, Config
from lastword.embedded import EmbeddedRedis
from lastword.errors import LastwordError
from lastword.reading.workers import list_workers
from lastword.service.tenants import add_tenant
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from lastword.supervisor import Supervisor
from lastword_jobs.graph_server.tenants import Size
from lastword_jobs.provider.connections import connect_tenant
from lastword_jobs.provider.sealing import Sealer
from lastword_middleware.broker import plain_broker, require_broker

#: Seconds the processes get to come up.
READY_WITHIN_S = 30.0

#: The application id of the local Graph; its secret is made at every start.
CLIENT_ID = "lastword-local"


@dataclass(frozen=True, slots=True)
class System:
    """A running system.

    Attributes:
        config: the configuration with which a process joins it.
        ledger: its ledger.
        supervisor: its processes.
        redis: its embedded broker; None when another was configured.
    """

    config: Config
    ledger: Ledger
    supervisor: Supervisor
    redis: EmbeddedRedis | None


@contextmanager
def running_system(
    config: Config,
    *,
    tenants: Mapping[str, Size],
    workers: int,
    threads: int,
    latency_s: float = 0.0,
) -> Iterator[System]:
    """Start everything, wait until it is ready, stop it in the end.

    Args:
        config: the settings; `embedded` gets a Redis of its own.
        tenants: the tenants of the local Graph, by id.
        workers: worker processes.
        threads: threads of each.
        latency_s: how long every answer of the local Graph takes, in seconds.

    Raises:
        LastwordError: something did not come up.
    """
    with ExitStack() as stack:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        redis = None
        if config.broker_url == EMBEDDED:
            redis = stack.enter_context(EmbeddedRedis(config.data_dir))
            config = replace(config, broker_url=redis.url)
        require_broker(plain_broker(config), config)
        ledger = _ledger_with(tenants, config)
        stack.callback(ledger.close)
        config = stack.enter_context(_with_graph(config, ledger, tenants, latency_s))
        supervisor = stack.enter_context(
            Supervisor(environment_of(config), config.data_dir / "logs")
        )
        supervisor.run("scheduler", "scheduler")
        for number in range(1, workers + 1):
            supervisor.run(f"worker-{number}", "worker", "--threads", str(threads))
        _await_workers(ledger, workers)
        yield System(config, ledger, supervisor, redis)


def _ledger_with(tenants: Iterable[str], config: Config) -> Ledger:
    ledger = open_ledger(config.ledger_url)
    migrate(ledger)
    for tenant_id in tenants:
        add_tenant(ledger, tenant_id=tenant_id, name=tenant_id.title())
    return ledger


@contextmanager
def _with_graph(
    config: Config, ledger: Ledger, tenants: Mapping[str, Size], latency_s: float
) -> Iterator[Config]:
    url_file = config.data_dir / "graph.url"
    url_file.unlink(missing_ok=True)
    config = replace(
        config,
        graph_client_id=CLIENT_ID,
        graph_client_secret=secrets.token_urlsafe(24),
        secret_key=config.secret_key or _own_key(config.data_dir / "secret.key"),
    )
    with Supervisor(environment_of(config), config.data_dir / "logs") as supervisor:
        supervisor.run("graph-server", *_graph_arguments(tenants, url_file, latency_s))
        url = _await_text(url_file)
        _connect(ledger, tenants, config)
        yield replace(config, graph_url=url, graph_token_url=url)


def _connect(ledger: Ledger, tenants: Iterable[str], config: Config) -> None:
    # In the ledger, so that whoever starts a run from beside finds the tenants connected.
    sealer = Sealer.of(config)
    for tenant_id in tenants:
        connect_tenant(
            ledger,
            sealer,
            tenant_id=tenant_id,
            client_id=config.graph_client_id,
            secret=config.graph_client_secret,
        )


def _own_key(file: Path) -> str:
    # Kept beside the ledger, so that what was sealed can be opened after a restart.
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32), encoding="ascii")
    return file.read_text(encoding="ascii")


def environment_of(config: Config) -> dict[str, str]:
    """The variables that give a process this configuration, whatever else its environment says."""
    values = {field.name: getattr(config, field.name) for field in fields(Config)}
    del values["policies"]
    values |= {"data_dir": config.data_dir.absolute(), "database_url": config.ledger_url}
    return {f"LASTWORD_{key.upper()}": _text(value) for key, value in values.items()}


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _graph_arguments(tenants: Mapping[str, Size], url_file: Path, latency_s: float) -> list[str]:
    arguments = ["graph-server", "--url-file", str(url_file), "--latency", f"{latency_s:g}"]
    for tenant_id, size in tenants.items():
        arguments += ["--tenant", f"{tenant_id}={size}"]
    return arguments


def _await_text(file: Path) -> str:
    deadline = time.monotonic() + READY_WITHIN_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise LastwordError(
                "the local Graph server did not start",
                mend=f"see {file.parent / 'logs' / 'graph-server.log'}",
            )
        time.sleep(0.02)
    return file.read_text(encoding="utf-8")


def _await_workers(ledger: Ledger, count: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while sum(worker["lease"] == "live" for worker in list_workers(ledger)) < count:
        if time.monotonic() > deadline:
            raise LastwordError(
                f"{count} workers did not start", mend="see their logs in the data folder"
            )
        time.sleep(0.05)
