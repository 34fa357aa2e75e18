"""The whole system for a browser: real Redis, Graph, web, and worker and scheduler when asked."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from lastword.access import Role
from lastword.config import Config, load_config
from lastword.embedded import EmbeddedRedis
from lastword.reading.workers import list_workers
from lastword.service.members import add_user, grant
from lastword.service.sessions import new_link
from lastword.service.tenants import add_tenant, set_writable
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from lastword.supervisor import Supervisor
from lastword_jobs.provider.connections import connect_tenant
from lastword_jobs.provider.sealing import Sealer
from tests.processes import free_port
from tests.support import until

#: A tenant for each theme, so that one does not find what the other has done.
TENANTS = {"light": "contoso", "dark": "fabrikam"}

#: An inventory sync is stale after two seconds, and may wait for no more than eight.
OPERATIONS = """
[lastword]
sweep_interval = 1

[operations."inventory_sync"]
queued_stale_after = 2
max_queue_wait = 8
min_backoff = 0.5
max_backoff = 1
"""


@dataclass
class System:
    """A running system.

    Attributes:
        config: the configuration that its processes have.
        ledger: its ledger.
        supervisor: its processes.
        environment: what makes another process a part of it.
    """

    config: Config
    ledger: Ledger
    supervisor: Supervisor
    environment: dict[str, str]
    started: set[str] = field(default_factory=set)

    @property
    def origin(self) -> str:
        return f"http://{self.config.web_addr}"

    def link(self, person: str = "ada") -> str:
        """A link that signs somebody in."""
        return f"{self.origin}/admin/sign-in/link?token={new_link(self.ledger, person)}"

    def start(self, name: str, *arguments: str) -> None:
        """Start a process that does not run yet."""
        if name not in self.started:
            self.started.add(name)
            self.supervisor.run(name, name, *arguments)

    def with_workers(self) -> None:
        """A scheduler and a worker, once they work."""
        self.start("scheduler")
        self.start("worker", "--threads", "2")
        until(
            lambda: any(worker["lease"] == "live" for worker in list_workers(self.ledger)),
            within_s=30,
            what="a live worker",
        )

    @property
    def reports(self) -> int:
        """How many times a browser has reported that its policy blocked something."""
        log = self.supervisor.logs / "web.log"
        return log.read_text().count("content_security_policy_report")


@contextmanager
def running_system(**more: object) -> Iterator[System]:
    """Redis, ledger, Graph and web, with more settings; nobody works or reconciles yet."""
    folder = Path(tempfile.mkdtemp(prefix="lw-web-", dir="/tmp"))
    (folder / "lastword.toml").write_text(OPERATIONS)
    try:
        with EmbeddedRedis(folder) as redis:
            settings = {
                "DATA_DIR": str(folder),
                "DATABASE_URL": f"sqlite:///{folder / 'lastword.db'}",
                "BROKER_URL": redis.url,
                "WEB_ADDR": f"127.0.0.1:{free_port()}",
                "METRICS_ADDR": f"127.0.0.1:{free_port()}",
                "SECRET_KEY": "0123456789abcdef" * 2,
                "GRAPH_CLIENT_ID": "lastword-local",
                "GRAPH_CLIENT_SECRET": "made-for-this-test",
                "CONFIG": str(folder / "lastword.toml"),
                **{key.upper(): str(value) for key, value in more.items()},
            }
            with _system(
                folder, {f"LASTWORD_{key}": value for key, value in settings.items()}
            ) as made:
                yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _system(folder: Path, environment: dict[str, str]) -> Iterator[System]:
    url_file = folder / "graph.url"
    with Supervisor(environment, folder / "logs") as graph:
        tenants = [part for name in TENANTS.values() for part in ("--tenant", f"{name}=S")]
        graph.run("graph-server", "graph-server", "--url-file", str(url_file), *tenants)
        until(url_file.exists, within_s=30, what="the local Graph")
        url = url_file.read_text()
        environment |= {"LASTWORD_GRAPH_URL": url, "LASTWORD_GRAPH_TOKEN_URL": url}
        config = load_config(environment)
        ledger = _ledger(config)
        with Supervisor(environment, folder / "logs") as supervisor:
            system = System(config, ledger, supervisor, environment)
            system.start("web")
            until(lambda: _answers(system), within_s=30, what="the web")
            yield system
        ledger.close()


def _ledger(config: Config) -> Ledger:
    ledger = open_ledger(config.ledger_url)
    migrate(ledger)
    add_user(ledger, user_id="ada", name="Ada Lovelace")
    for tenant in TENANTS.values():
        add_tenant(ledger, tenant_id=tenant, name=tenant.title())
        set_writable(ledger, tenant, writable=True)
        connect_tenant(
            ledger,
            Sealer.of(config),
            tenant_id=tenant,
            client_id=config.graph_client_id,
            secret=config.graph_client_secret,
        )
    grant(ledger, user_id="ada", workspace_id="default", role=Role.OWNER)
    return ledger


def _answers(system: System) -> bool:
    try:
        return httpx.get(f"{system.origin}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        time.sleep(0.05)
        return False
