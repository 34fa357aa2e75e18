"""What the scheduler does and how often: every periodic job of the platform, in one table."""

from __future__ import annotations

from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker

from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_middleware.broker import plain_broker
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_middleware.messages import TrackMessages
from lastword_middleware.tracker import Tracker
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.probe import BlindProbe, Probe, RedisProbe
from lastword_scheduler.process import Job


def timetable(config: Config, ledger: Ledger) -> list[Job]:
    """The jobs of `lastword scheduler`."""
    generic = generic_reconciler(config, ledger)
    return [
        Job("reconcile.generic", every_s=config.sweep_interval, work=generic.sweep),
    ]


def generic_reconciler(config: Config, ledger: Ledger) -> GenericReconciler:
    """The generic reconciler over this configuration's broker.

    Raises:
        BrokerUnavailable: the embedded broker is not running.
    """
    # TrackMessages records where each message goes that is sent again.
    tracker = Tracker(config=config, ledger=ledger)
    broker = plain_broker(config, middleware=[TrackMessages(tracker)])
    return GenericReconciler(
        config=config,
        ledger=ledger,
        probe=probe_of(broker),
        dispatcher=BrokerDispatcher(broker, config),
        contact=Contact(config.lease_ttl),
    )


def probe_of(broker: Broker) -> Probe:
    """What can be asked of this broker."""
    if isinstance(broker, RedisBroker):
        return RedisProbe(broker.client, namespace=broker.namespace)
    return BlindProbe()
