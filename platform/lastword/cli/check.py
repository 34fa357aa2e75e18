"""`lastword migrate` and `lastword check`: making a ledger fit, and seeing whether all is well."""

from __future__ import annotations

import click
import redis

from lastword.cli.opening import open_current
from lastword.config import load_config, redacted
from lastword.domains import required_reconcilers
from lastword.embedded import resolve_broker_url
from lastword.errors import BrokerUnavailable
from lastword.storage.clock import require_same_clock
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate as migrate_ledger


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
    click.echo(f"the ledger at {ledger.address} is current")


@click.command()
def check() -> None:
    """Check configuration, ledger and broker; exit 1 at the first that is wrong."""
    config, ledger = open_current()
    click.echo(f"configuration: {len(config.policies)} operations, each with a policy that holds")
    required_reconcilers(config)
    require_same_clock(ledger)
    click.echo(f"ledger: {ledger.address} is reachable and current, and its clock is this host's")
    url = resolve_broker_url(config)
    address = redacted(url)
    if not url.startswith("amqp"):
        try:
            with redis.Redis.from_url(url, socket_connect_timeout=5) as client:
                client.ping()
        except redis.RedisError as error:
            raise BrokerUnavailable(
                f"the broker at {address} does not answer: {error}",
                address=address,
                mend="check that it runs and that LASTWORD_BROKER_URL is right",
            ) from error
    click.echo(f"broker: {address} is reachable")
