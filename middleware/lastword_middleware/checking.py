"""What `lastword check` asks of applications: that they load, cover what is offered, and fit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dramatiq
from dramatiq.broker import Broker

from lastword.checks import Finding
from lastword.config import EMBEDDED, Config
from lastword.embedded import resolve_broker_url
from lastword.errors import BrokerUnavailable
from lastword.operation_tables import shipped_tables
from lastword_middleware.applications import default_module, load
from lastword_middleware.chain import covered_actors, violations_of
from lastword_middleware.messages import TrackMessages


def check_applications(config: Config, modules: Sequence[str]) -> Iterator[Finding]:
    """Load applications as workers would, and look at their brokers and actors.

    Args:
        config: the configuration.
        modules: `MODULE` or `MODULE:BROKER`; the one that workers serve by default if empty.

    Raises:
        LastwordError: one of them cannot be loaded, or refuses an actor.
    """
    brokers: list[Broker] = []
    with _nothing_running(config):
        for module in modules or [default_module()]:
            load(module)
            brokers.append(dramatiq.get_broker())
    covered: set[str] = set()
    unknown: set[str] = set()
    for broker in brokers:
        if not any(isinstance(item, TrackMessages) for item in broker.middleware):
            yield Finding(
                "Lastword is not installed on the broker of an application: nothing is tracked",
                "call lastword_middleware.install(broker) in it before actors are declared",
            )
            continue
        named = {str(actor.options["operation"]) for actor in covered_actors(broker)}
        covered |= named
        if lacking := named - set(config.policies):
            unknown |= lacking
            continue
        for violation in violations_of(broker, config):
            yield Finding(violation.seen, violation.mend, rule=violation.rule)
    shown = ", ".join(modules or [default_module()])
    yield from _without_policy(sorted(unknown), shown)
    offered = {name for name, policy in config.policies.items() if policy.enabled}
    yield from _without_actor(sorted(offered - covered), shown)


def _without_policy(operations: list[str], shown: str) -> Iterator[Finding]:
    # The application was installed with another configuration than the one that is checked.
    for operation in operations:
        yield Finding(
            f'an actor of {shown} does operation "{operation}", which has no policy here',
            "set LASTWORD_CONFIG to the file that the application is installed with",
        )


def _without_actor(operations: list[str], shown: str) -> Iterator[Finding]:
    shipped = [name for name in operations if name in shipped_tables()]
    if len(shipped) > 1:
        yield Finding(
            f"{len(shipped)} operations that ship with Lastword are offered, and no actor of "
            f"{shown} does them: {', '.join(shipped)}",
            "set `shipped_operations = false` if only your own are wanted, or name their "
            f"application too, with `--app {default_module()}`",
        )
        operations = [name for name in operations if name not in shipped]
    for operation in operations:
        yield Finding(
            f'operation "{operation}" is offered, and no actor of {shown} does it',
            "declare one that names it, name its application with --app, or set "
            "`enabled = false` for it",
        )


@contextmanager
def _nothing_running(config: Config) -> Iterator[None]:
    """Let applications be loaded although the embedded default has not been started.

    Nobody connects to anything: that it is down, or was never up, says nothing of an application.
    """
    with tempfile.TemporaryDirectory(prefix="lastword-check-") as folder:
        if config.broker_url == EMBEDDED:
            try:
                resolve_broker_url(config)
            except BrokerUnavailable:
                os.environ["LASTWORD_BROKER_URL"] = f"unix://{Path(folder) / 'redis.sock'}"
        if not config.database_url and not config.data_dir.exists():
            os.environ["LASTWORD_DATA_DIR"] = folder
        yield
