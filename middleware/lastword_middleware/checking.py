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
from lastword_middleware.applications import default_module, load
from lastword_middleware.chain import violations_of
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
    for broker in brokers:
        if not any(isinstance(item, TrackMessages) for item in broker.middleware):
            yield Finding(
                "Lastword is not installed on the broker of an application: nothing is tracked",
                "call lastword_middleware.install(broker) in it before actors are declared",
            )
            continue
        covered |= {str(actor.options.get("operation")) for actor in broker.actors.values()}
        for violation in violations_of(broker, config):
            yield Finding(violation.seen, violation.mend, rule=violation.rule)
    for operation, policy in sorted(config.policies.items()):
        if policy.enabled and operation not in covered:
            yield Finding(
                f'operation "{operation}" is offered, and no actor of '
                f"{', '.join(modules or [default_module()])} does it",
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
