"""`lastword migrate` and `lastword check`: making a ledger fit, and seeing whether all is well."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import redis

from lastword.checks import CHECKS_GROUP, Finding
from lastword.cli.output import json_option, print_json
from lastword.config import EMBEDDED, Config, load_config, redacted
from lastword.deployment.reading import read_deployment
from lastword.deployment.units import Role
from lastword.domains import required_reconcilers
from lastword.embedded import resolve_broker_url
from lastword.errors import BrokerUnavailable, LastwordError
from lastword.storage.clock import require_same_clock
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate as migrate_ledger
from lastword.storage.schema import newer_migrations, require_current_schema
from lastword.timing import chain_of, violations


@click.command()
def migrate() -> None:
    """Bring the ledger's schema to this version."""
    config = load_config()
    if not config.database_url:
        config.data_dir.mkdir(parents=True, exist_ok=True)
    ledger = open_ledger(config.ledger_url)
    applied = migrate_ledger(ledger)
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"the ledger at {ledger.address} is {_standing(ledger)}")


@dataclass(slots=True)
class _Report:
    """What was looked at, what was found, and each finding once."""

    sections: list[dict[str, Any]] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

    def look(self, section: str, check: Callable[[], Iterator[Finding | str]]) -> None:
        """Run one check: it says what is well, and gives what is not."""
        said: list[str] = []
        found: list[Finding] = []
        try:
            for item in check():
                if isinstance(item, Finding):
                    found.append(item)
                else:
                    said.append(item)
        except LastwordError as error:
            found.append(Finding(error.sentence, ""))
        found = [item for item in found if item.sentence not in self._said]
        self._said |= {item.sentence for item in found}
        rows = [{"rule": item.rule or None, "said": item.sentence} for item in found]
        self.sections.append({"section": section, "said": said, "findings": rows})

    @property
    def is_well(self) -> bool:
        """Whether nothing was found."""
        return not self._said


@click.command()
@click.option(
    "--deploy",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read what stops the processes from here - units, Compose files, manifests - instead of "
    "looking at ledger and broker.",
)
@click.option(
    "--app",
    "modules",
    multiple=True,
    metavar="MODULE[:BROKER]",
    help="An application whose actors to look at; repeatable.",
)
@json_option
def check(directory: Path | None, modules: tuple[str, ...], as_json: bool) -> None:
    """Check configuration, timing, actors, ledger and broker, and say all that is wrong."""
    config = load_config()
    report = _Report()
    report.look("configuration", lambda: _configuration(config))
    report.look("timing", lambda: _timing(config))
    report.look("actors", lambda: _actors(config, modules))
    if directory is not None:
        report.look("deployment", lambda: _deployment(directory, config))
    else:
        report.look("ledger", lambda: _ledger(config))
        report.look("broker", lambda: _broker(config))
    _print(report, as_json=as_json)
    sys.exit(0 if report.is_well else 1)


def _print(report: _Report, *, as_json: bool) -> None:
    if as_json:
        print_json(report.sections)
        return
    for section in report.sections:
        for line in section["said"] if not section["findings"] else []:
            click.echo(f"{section['section']}: {line}")
        for finding in section["findings"]:
            click.echo(f"lastword: {section['section']}: {finding['said']}", err=True)


def _configuration(config: Config) -> Iterator[Finding | str]:
    required_reconcilers(config)
    offered = sum(policy.enabled for policy in config.policies.values())
    yield f"{len(config.policies)} operations have a policy, {offered} of them are offered"


def _timing(config: Config) -> Iterator[Finding | str]:
    found = violations(chain_of(config))
    for violation in found:
        yield Finding(violation.seen, violation.mend, rule=violation.rule)
    if not found:
        yield (
            f"every rule holds; a worker waits {config.worker_shutdown_timeout:g} s for its "
            f"attempts, and has to be given {config.stop_wait:g} s to stop"
        )


def _actors(config: Config, modules: Sequence[str]) -> Iterator[Finding | str]:
    if not modules and not config.shipped_operations:
        # What ships is not wanted here, and nobody has said where the rest is.
        yield "no application was looked at; name yours with --app MODULE"
        return
    found = False
    for entry in entry_points(group=CHECKS_GROUP):
        for finding in entry.load()(config, modules):
            found = True
            yield finding
    if not found:
        yield "every operation that is offered has one, and each is inside its policy"


def _deployment(directory: Path, config: Config) -> Iterator[Finding | str]:
    read = read_deployment(directory, config)
    yield from read.findings
    if not read.findings:
        granted = [unit.granted_s for unit in read.units if unit.role is Role.WORKER]
        workers = f"{min(granted):g} s at least" if granted else "nothing, for there is none"
        yield (
            f"{len(read.units)} units in {directory} start and stop our processes as they have to "
            f"be; every worker is granted {workers}"
        )


def _ledger(config: Config) -> Iterator[Finding | str]:
    if not config.database_url and not (config.data_dir / "lastword.db").exists():
        # The embedded default, which nobody has started yet.
        yield f"none yet in {config.data_dir.absolute()}; `lastword up` or `migrate` makes it"
        return
    ledger = open_ledger(config.ledger_url)
    require_current_schema(ledger)
    require_same_clock(ledger)
    yield f"{ledger.address} is reachable and {_standing(ledger)}, and its clock is this host's"


def _standing(ledger: Ledger) -> str:
    newer = newer_migrations(ledger)
    return f"ahead of this version by {', '.join(newer)}" if newer else "current"


def _broker(config: Config) -> Iterator[Finding | str]:
    try:
        url = resolve_broker_url(config)
    except BrokerUnavailable:
        if config.broker_url != EMBEDDED or config.database_url:
            raise
        yield "embedded; `lastword up` starts it"
        return
    address = redacted(url)
    if url.startswith("amqp"):
        yield f"{address} is RabbitMQ, which workers connect to when they start"
        return
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            client.ping()
            yield from _eviction(client, address)
    except redis.RedisError as error:
        raise BrokerUnavailable(
            f"{address} does not answer: {error}",
            address=address,
            mend="check that it runs and that LASTWORD_BROKER_URL is right",
        ) from error
    yield f"{address} is reachable"


def _eviction(client: redis.Redis, address: str) -> Iterator[Finding]:
    try:
        known: Any = client.config_get("maxmemory*")
    except redis.ResponseError:
        return  # Some providers let nobody ask.
    policy = known.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            f"{address} has maxmemory-policy {policy}: when memory runs short it throws messages "
            "away instead of refusing them",
            "set maxmemory-policy noeviction in Redis",
        )
