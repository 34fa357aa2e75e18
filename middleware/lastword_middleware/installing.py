"""Installing Lastword on a broker: one call, after which actors may name their operation."""

from __future__ import annotations

from pathlib import Path

import peewee
from dramatiq.broker import Broker

from lastword.application import Application, use_application
from lastword.config import Config, load_config, with_database_url
from lastword.legitimacy import installed_gate
from lastword.storage.ledger import Ledger
from lastword.storage.opening import ledger_of, open_ledger, sibling_of
from lastword_middleware.broker import arrange, require_same_broker
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_middleware.tracing import tracing_of
from lastword_middleware.tracker import Tracker


def install(
    broker: Broker,
    *,
    database: str | peewee.Database | peewee.DatabaseProxy | None = None,
    config: str | Path | Config | None = None,
) -> Application:
    """Track every run of this broker's actors that name an operation.

    Call it after the broker is made and before such actors are declared.

    Args:
        broker: the broker; its middleware is put into the order that tracking needs.
        database: the ledger's URL, or the application's own Peewee database if the ledger is in it,
            so that `lastword.start` joins its transactions; what the configuration says when None.
        config: a TOML file or a `Config`; environment and defaults when None.

    Raises:
        ConfigError: the configuration is wrong.
        LastwordError: the broker cannot be tracked.
    """
    settings = config if isinstance(config, Config) else _settings(config)
    if isinstance(database, str):
        settings = with_database_url(settings, database)
        database = None
    require_same_broker(broker, settings)
    own = ledger_of(database) if database is not None else open_ledger(settings.ledger_url)
    # Tracking never shares a connection with the application: its rows are committed whatever
    # becomes of the application's transaction.
    return track(broker, settings, own, sibling_of(own))


def track(broker: Broker, config: Config, own: Ledger, apart: Ledger) -> Application:
    """Track every run of this broker's actors in these ledgers, which are one on two connections.

    Args:
        broker: the broker; its middleware is put into the order that tracking needs.
        config: the configuration.
        own: the ledger, on the application's own connections if it has any.
        apart: the same on connections that never share the application's transactions.

    Raises:
        LastwordError: the broker cannot be tracked.
    """
    tracing = tracing_of(config)
    arrange(broker, Tracker(config=config, ledger=apart, application=own, tracing=tracing))
    tracing.follow(broker)
    dispatcher = BrokerDispatcher(broker, config, tracing=tracing)
    application = Application(config, own, apart, dispatcher, installed_gate(config))
    use_application(application)
    return application


def _settings(file: str | Path | None) -> Config:
    return load_config(file=Path(file) if file is not None else None)
