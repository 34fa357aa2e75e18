"""Configuration: environment over TOML file over defaults, every fault reported at once.

Read once, in the composition root of a process, and passed down from there.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from lastword.errors import ConfigError, UnknownOperation
from lastword.policy import Policy, policy_from_table
from lastword.readers import EMBEDDED as EMBEDDED
from lastword.readers import READERS
from lastword.urls import redacted as redacted

#: The entry point group whose members name a file of operation policies.
OPERATIONS_GROUP = "lastword.operations"

ENVIRONMENT_PREFIX = "LASTWORD_"

#: Seconds that a message may take beyond its time limit until it is acknowledged.
CONSUMER_MARGIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one process. Durations are in seconds, sizes in bytes.

    Attributes:
        data_dir: where the embedded default keeps its database, socket and logs.
        database_url: `sqlite:///PATH` or `postgresql://...`; empty means SQLite in `data_dir`.
        broker_url: `embedded`, `redis://`, `rediss://`, `unix://` or `amqp://`.
        broker_namespace: the prefix of Dramatiq's keys in Redis.
        web_addr: host and port of the monitoring web.
        metrics_addr: host and port of the metrics listener.
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
        worker_shutdown_timeout: how long a stopping worker waits for running attempts.
        stop_wait: how long whatever stops a worker waits before it kills it.
        rabbitmq_consumer_timeout: after how long RabbitMQ takes an unacknowledged message back.
        max_payload_bytes: the largest message that is accepted.
        policies: the lifecycle policy of every known operation.
    """

    data_dir: Path = Path(".lastword")
    # URLs may carry a password, so none of them is in the repr.
    database_url: str = field(default="", repr=False)
    broker_url: str = field(default=EMBEDDED, repr=False)
    broker_namespace: str = "dramatiq"
    web_addr: str = "127.0.0.1:8000"
    metrics_addr: str = "127.0.0.1:9464"
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
    worker_shutdown_timeout: float = 120.0
    stop_wait: float = 150.0
    rabbitmq_consumer_timeout: float = 1800.0
    max_payload_bytes: int = 256 * 1024
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
            raise UnknownOperation(
                f"operation {operation!r} has no policy",
                expected=f"one of {', '.join(sorted(self.policies)) or '(none)'}",
                mend=f'add a table [operations."{operation}"] to the configuration file',
            ) from None


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
    document = _read_toml(file) if file else {}
    faults: list[str] = []
    values = _file_values(document, origin=str(file), faults=faults)
    values.update(_environment_values(environ, faults=faults))
    policies = _policies(document, origin=str(file), faults=faults)
    if faults:
        raise ConfigError(faults)
    config = replace(Config(policies=policies), **values)
    faults.extend(_cross_faults(config))
    if faults:
        raise ConfigError(faults)
    return config


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


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            [f"configuration file {file} cannot be read: {error.strerror}"],
            mend="set LASTWORD_CONFIG to a readable TOML file, or unset it",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"configuration file {file} is not TOML: {error}"]) from error


def _file_values(document: Mapping[str, Any], *, origin: str, faults: list[str]) -> dict[str, Any]:
    for section in document.keys() - {"lastword", "operations"}:
        faults.append(f"{origin}: unknown section {section!r}; expected 'lastword', 'operations'")
    table = _table(document, "lastword", origin=origin, faults=faults)
    values: dict[str, Any] = {}
    for key, value in table.items():
        _set(values, key, value, place=f"{origin}, [lastword] {key}", faults=faults)
    return values


def _table(
    document: Mapping[str, Any], section: str, *, origin: str, faults: list[str]
) -> dict[str, Any]:
    table = document.get(section, {})
    if isinstance(table, dict):
        return table
    # Its kind, not its value: there may be a secret in it.
    faults.append(f"{origin}: [{section}] is of type {type(table).__name__}; expected a table")
    return {}


def _environment_values(environ: Mapping[str, str], *, faults: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name == "LASTWORD_CONFIG":
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        _set(values, key, text, place=name, faults=faults)
    return values


def _set(values: dict[str, Any], key: str, value: object, *, place: str, faults: list[str]) -> None:
    reader = READERS.get(key)
    if reader is None:
        faults.append(f"{place}: unknown key; expected one of {', '.join(READERS)}")
        return
    try:
        values[key] = reader(value)
    except (TypeError, ValueError) as error:
        shown = "(hidden)" if key.endswith(("secret", "secret_key", "_url")) else repr(value)
        faults.append(f"{place} is {shown}; expected {error}")


assert {field.name for field in fields(Config)} - {"policies"} == set(READERS)


def _policies(document: Mapping[str, Any], *, origin: str, faults: list[str]) -> dict[str, Policy]:
    tables: dict[str, tuple[str, dict[str, Any]]] = {}
    for shipped in entry_points(group=OPERATIONS_GROUP):
        path = Path(shipped.load())
        for name, table in _read_toml(path).get("operations", {}).items():
            tables[name] = (path.name, table)
    for name, table in _table(document, "operations", origin=origin, faults=faults).items():
        if not isinstance(table, dict):
            faults.append(f'{origin}: operations."{name}" is {table!r}; expected a table')
            continue
        shipped_table = tables.get(name, ("", {}))[1]
        tables[name] = (origin, {**shipped_table, **table})
    policies: dict[str, Policy] = {}
    for name, (place, table) in tables.items():
        try:
            policies[name] = policy_from_table(name, table, origin=place)
        except ConfigError as error:
            faults.extend(error.faults)
    return policies


def _cross_faults(config: Config) -> list[str]:
    faults = []
    if 3 * config.heartbeat_interval > config.lease_ttl:
        faults.append(
            f"lease_ttl ({config.lease_ttl:g}) is below 3 x heartbeat_interval "
            f"({config.heartbeat_interval:g}); one missed heartbeat would end healthy leases"
        )
    if config.worker_shutdown_timeout >= config.stop_wait:
        faults.append(
            f"stop_wait ({config.stop_wait:g}) is not above worker_shutdown_timeout "
            f"({config.worker_shutdown_timeout:g}); workers would be killed while they drain"
        )
    if config.broker_url.startswith("amqp"):
        faults.extend(_consumer_timeout_faults(config))
    return faults


def _consumer_timeout_faults(config: Config) -> Iterator[str]:
    # A broker must never deliver again what is still allowed to run.
    for policy in config.policies.values():
        if policy.time_limit + CONSUMER_MARGIN_S >= config.rabbitmq_consumer_timeout:
            yield (
                f'operations."{policy.operation}": time_limit ({policy.time_limit:g}) + '
                f"{CONSUMER_MARGIN_S:g} s is not below rabbitmq_consumer_timeout "
                f"({config.rabbitmq_consumer_timeout:g}); RabbitMQ would deliver its message again "
                f"while it is worked on: raise consumer_timeout there and here, or lower the limit"
            )
