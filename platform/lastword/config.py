"""Configuration: environment over TOML file over defaults, every fault reported at once.

Read once, in the composition root of a process, and passed down from there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lastword.errors import ConfigError, OperationNotOffered, UnknownOperation
from lastword.operation_tables import read_policies, read_table, shipped_tables
from lastword.policy import INTERRUPT_GRACE_S, Policy
from lastword.readers import EMBEDDED as EMBEDDED
from lastword.readers import READERS
from lastword.toml_document import TomlDocument
from lastword.urls import redacted as redacted

ENVIRONMENT_PREFIX = "LASTWORD_"

#: Seconds beyond the longest time limit until a stopping worker has interrupted what is at its
#: limit and its threads have ended: TimeLimit looks every second, a thread that was interrupted
#: gets the grace, one that is idle looks up after a second.
DRAIN_MARGIN_S = INTERRUPT_GRACE_S + 5.0

#: The time limit that a deployment without any operation is taken to have, in seconds.
WITHOUT_OPERATIONS_S = 110.0

#: Seconds beyond the end of its drain until a worker's processes are gone: a second until it
#: notices the signal, two until its consumers have ended, ten at most to write what has ended, five
#: for a heartbeat that is under way, one to hand over spans, one until its parent has noticed.
EXIT_MARGIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one process. Durations are in seconds, sizes in bytes.

    Attributes:
        data_dir: where the embedded default keeps its database, socket and logs.
        database_url: `sqlite:///PATH` or `postgresql://...`; empty means SQLite in `data_dir`.
        broker_url: `embedded`, `redis://`, `rediss://`, `unix://` or `amqp://`.
        broker_namespace: the prefix of Dramatiq's keys in Redis.
        web_addr: host and port of the monitoring web.
        web_url: the origin at which people reach it; empty means `http://` and `web_addr`.
        web_auth: the ways to sign in, of `password`, `oidc` and `proxy`; empty means none but a
            one-time link, and then it listens on loopback only.
        proxy_user_header: the header in which a trusted proxy names the user.
        proxy_networks: the networks (CIDR) that trusted proxies are in; empty means none.
        oidc_issuer: the URL of the identity provider.
        oidc_client_id: the id under which it knows Lastword.
        oidc_client_secret: the secret of that id.
        session_idle: after how long without a request a session ends.
        session_lifetime: after how long a session ends whatever happens.
        metrics_addr: host and port of the metrics listener.
        metrics_token: what whoever scrapes has to show; empty means that only loopback may.
        secret_key: signs links and sessions.
        graph_url: base URL of the Graph API.
        graph_token_url: base URL of the token endpoint; empty means the same host.
        graph_client_id: application id for client credentials.
        graph_client_secret: its secret.
        log_format: `console` or `json`.
        heartbeat_interval: how often a worker renews its lease.
        lease_ttl: how long a lease lives without renewal.
        sweep_interval: how often the reconcilers look.
        sweep_deadline: how long one sweep may take before it is left to itself.
        message_grace: how long a message may be invisible in the broker before it counts as gone.
        slot_grace: how late the run of a cron slot may be started; a later one is missed.
        retention: how long runs that have ended, and what belongs to them, are kept.
        worker_shutdown_timeout: how long a stopping worker waits for running attempts; what the
            longest time limit takes, if nobody says otherwise.
        stop_wait: how long whatever stops a worker waits before it kills it; what the shutdown
            timeout takes, if nobody says otherwise.
        rabbitmq_consumer_timeout: after how long RabbitMQ takes an unacknowledged message back.
        max_payload_bytes: the largest message that is accepted.
        allow_unsafe_timing: whether to start although durations do not fit into each other.
        health_file: what a worker keeps fresh as long as it is well; empty means none.
        gc_threshold: after how many new objects a worker looks for cycles of garbage; 0 leaves
            Python as it is.
        one_cpu: whether a worker process keeps to one CPU: faster for short jobs, slower for jobs
            that compute in C beside Python.
        revision: which build of the application this is, as people name it; shown with workers.
        shipped_operations: whether operations of installed packages count in this deployment.
        tracing: whether starts and attempts are spans of OpenTelemetry (extra `otel`).
        policies: the lifecycle policy of every known operation.
    """

    data_dir: Path = Path(".lastword")
    # URLs may carry a password, so none of them is in the repr.
    database_url: str = field(default="", repr=False)
    broker_url: str = field(default=EMBEDDED, repr=False)
    broker_namespace: str = "dramatiq"
    web_addr: str = "127.0.0.1:8000"
    web_url: str = ""
    web_auth: tuple[str, ...] = ()
    proxy_user_header: str = "X-Forwarded-User"
    proxy_networks: tuple[str, ...] = ()
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    session_idle: float = 2 * 3600.0
    session_lifetime: float = 12 * 3600.0
    metrics_addr: str = "127.0.0.1:9464"
    metrics_token: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    graph_url: str = field(default="https://graph.microsoft.com", repr=False)
    graph_token_url: str = field(default="https://login.microsoftonline.com", repr=False)
    graph_client_id: str = ""
    graph_client_secret: str = field(default="", repr=False)
    log_format: str = "console"
    heartbeat_interval: float = 2.0
    lease_ttl: float = 10.0
    sweep_interval: float = 5.0
    sweep_deadline: float = 60.0
    message_grace: float = 5.0
    slot_grace: float = 300.0
    retention: float = 90 * 24 * 3600.0
    worker_shutdown_timeout: float = WITHOUT_OPERATIONS_S + DRAIN_MARGIN_S
    stop_wait: float = WITHOUT_OPERATIONS_S + DRAIN_MARGIN_S + EXIT_MARGIN_S
    rabbitmq_consumer_timeout: float = 1800.0
    max_payload_bytes: int = 256 * 1024
    allow_unsafe_timing: bool = False
    health_file: str = ""
    gc_threshold: int = 50_000
    one_cpu: bool = False
    revision: str = ""
    shipped_operations: bool = True
    tracing: bool = False
    policies: Mapping[str, Policy] = field(default_factory=dict)

    @property
    def ledger_url(self) -> str:
        """The database's URL, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'lastword.db'}"

    def policy(self, operation: str) -> Policy:
        """The policy of `operation`.

        Raises:
            UnknownOperation: there is none.
        """
        try:
            return self.policies[operation]
        except KeyError:
            offered = sorted(name for name, policy in self.policies.items() if policy.enabled)
            raise UnknownOperation(
                f"operation {operation!r} has no policy",
                expected=f"one of {', '.join(offered) or '(none)'}",
                mend=f'add a table [operations."{operation}"] to the configuration file',
            ) from None

    def offered(self, operation: str) -> Policy:
        """The policy of an operation of which new runs may be started.

        Raises:
            UnknownOperation: it has none.
            OperationNotOffered: it is switched off here.
        """
        policy = self.policy(operation)
        if not policy.enabled:
            raise OperationNotOffered(
                f"operation {operation!r} is not offered in this deployment",
                mend=f'set `enabled = true` in [operations."{operation}"] once an actor does it',
            )
        return policy


def load_config(
    environ: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
) -> Config:
    """The configuration of this process.

    Args:
        environ: the environment; the process's own by default.
        file: the TOML file; `LASTWORD_CONFIG` names it by default.

    Raises:
        ConfigError: with every fault found.
    """
    environ = os.environ if environ is None else environ
    file = file or _configured_file(environ)
    document = TomlDocument.read(file) if file else TomlDocument("", "", {})
    faults: list[str] = []
    values = _file_values(document, faults=faults)
    values.update(_environment_values(environ, faults=faults))
    shipped = shipped_tables() if values.get("shipped_operations", True) else {}
    policies = read_policies(shipped, document, faults=faults)
    if faults:
        raise ConfigError(faults)
    return replace(Config(policies=policies), **{**_derived(values, policies), **values})


def _derived(values: Mapping[str, Any], policies: Mapping[str, Policy]) -> dict[str, Any]:
    # Nobody who does not care should have to: what is not said fits into what was.
    limits = [policy.time_limit for policy in policies.values() if policy.enabled]
    drain = max(limits, default=WITHOUT_OPERATIONS_S) + DRAIN_MARGIN_S
    drain = values.get("worker_shutdown_timeout", drain)
    return {"worker_shutdown_timeout": drain, "stop_wait": drain + EXIT_MARGIN_S}


def with_database_url(config: Config, url: str) -> Config:
    """`config` with another ledger.

    Raises:
        ConfigError: the URL is not one of a database that can hold a ledger.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    _set(values, "database_url", url, place="database", faults=faults)
    if faults:
        raise ConfigError(faults)
    return replace(config, **values)


def _configured_file(environ: Mapping[str, str]) -> Path | None:
    name = environ.get("LASTWORD_CONFIG")
    return Path(name) if name else None


def _file_values(document: TomlDocument, *, faults: list[str]) -> dict[str, Any]:
    for section in sorted(document.content.keys() - {"lastword", "operations"}):
        place = document.place(section)
        faults.append(f"{place}: unknown section {section!r}; expected 'lastword', 'operations'")
    values: dict[str, Any] = {}
    for key, value in read_table(document, "lastword", faults=faults).items():
        before = len(faults)
        _set(values, key, value, place=f"[lastword] {key}", faults=faults)
        faults[before:] = [f"{document.place('lastword', key)}, {new}" for new in faults[before:]]
    return values


def _environment_values(environ: Mapping[str, str], *, faults: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "LASTWORD_CONFIG":
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        _set(values, key, text, place=name, faults=faults)
    return values


#: Endings of keys whose values may hold a secret.
_HIDDEN = ("secret", "secret_key", "_token", "_url")


def _set(values: dict[str, Any], key: str, value: object, *, place: str, faults: list[str]) -> None:
    reader = READERS.get(key)
    if reader is None:
        faults.append(f"{place}: unknown key; expected one of {', '.join(READERS)}")
        return
    try:
        values[key] = reader(value)
    except (TypeError, ValueError) as error:
        shown = (
            "(hidden)" if key.endswith(("secret", "secret_key", "_token", "_url")) else repr(value)
        )
        faults.append(f"{place} is {shown}; expected {error}")


assert {field.name for field in fields(Config)} - {"policies"} == set(READERS)
