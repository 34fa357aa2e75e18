"""What the scheduler does and how often: every periodic job of the platform, in one table."""

from __future__ import annotations

from collections.abc import Sequence

from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker

from lastword.config import Config
from lastword.domains import DomainReconciler, required_reconcilers
from lastword.storage.ledger import Ledger
from lastword_middleware.broker import plain_broker
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_middleware.messages import TrackMessages
from lastword_middleware.tracker import Tracker
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.probe import BlindProbe, Probe, RedisProbe
from lastword_scheduler.rescue import BrokerRescue
from lastword_scheduler.retention import Folding, Retention
from lastword_scheduler.running import Job
from lastword_scheduler.slots import SlotKeeper
from lastword_scheduler.typed import TypedReconciler

#: Seconds between two times that measures are added up.
FOLD_EVERY_S = 15.0

#: Seconds between two looks for history that is too old, and for how long one may remove it: what a
#: ledger can take in, it can also let go of, and a backlog is no sweep that hangs.
PRUNE_EVERY_S = 60.0
PRUNE_WITHIN_S = 50.0
PRUNE_DEADLINE_S = 300.0

#: Seconds between two walks through the broker's keys for processes that are long gone.
FORGET_EVERY_S = 3600.0


def timetable(config: Config, ledger: Ledger, contact: Contact) -> list[Job]:
    """The jobs of `lastword scheduler`.

    Raises:
        BrokerUnavailable: the embedded broker is not running.
        ConfigError: a policy names a reconciler that is not installed.
    """
    broker = sending_broker(config, ledger)
    dispatcher = BrokerDispatcher(broker, config, ledger)
    typed = required_reconcilers(config)
    generic = generic_reconciler(config, ledger, broker=broker, contact=contact, typed=typed)
    retention = Retention(ledger, config.retention, PRUNE_WITHIN_S)
    sweep_s, deadline_s = config.sweep_interval, config.sweep_deadline
    jobs = [
        Job("reconcile.generic", sweep_s, deadline_s, generic.sweep),
        Job("schedules", sweep_s, deadline_s, SlotKeeper(config, ledger, dispatcher).sweep),
        Job("measures", FOLD_EVERY_S, deadline_s, Folding(ledger).sweep),
        Job("retention", PRUNE_EVERY_S, PRUNE_DEADLINE_S, retention.sweep),
    ]
    # A worker that has just written the record says so itself within its next two beats.
    grace_s = 2 * config.heartbeat_interval
    for name, reconciler in named(typed).items():
        sweep = TypedReconciler(ledger, reconciler, grace_s).sweep
        jobs.append(Job(f"reconcile.{name}", sweep_s, deadline_s, sweep))
    if isinstance(broker, RedisBroker):
        rescue = BrokerRescue(
            ledger,
            broker.client,
            broker.namespace,
            silent_after_ms=broker.heartbeat_timeout,
            dead_letter_ttl_ms=broker.dead_message_ttl,
            contact=contact,
        )
        jobs.append(Job("rescue.broker", sweep_s, deadline_s, rescue.sweep))
        jobs.append(Job("forget.processes", FORGET_EVERY_S, FORGET_EVERY_S, rescue.forget))
    return jobs


def named(typed: Sequence[DomainReconciler]) -> dict[str, DomainReconciler]:
    """Reconcilers by names of their own: the source, and the class for all but the first of it.

    Where two classes have one name, their modules tell them apart; none takes another's place.
    """
    names: dict[str, DomainReconciler] = {}
    for reconciler in typed:
        kind, source = type(reconciler), str(reconciler.source)
        own = (source, f"{source}.{kind.__name__}", f"{source}.{kind.__module__}.{kind.__name__}")
        names[next((name for name in own if name not in names), own[-1])] = reconciler
    return names


def sending_broker(config: Config, ledger: Ledger) -> Broker:
    """A broker that records where each message goes that is sent again.

    Raises:
        BrokerUnavailable: the embedded broker is not running.
    """
    return plain_broker(config, middleware=[TrackMessages(Tracker(config=config, ledger=ledger))])


def generic_reconciler(
    config: Config,
    ledger: Ledger,
    *,
    broker: Broker | None = None,
    contact: Contact | None = None,
    typed: Sequence[DomainReconciler] | None = None,
) -> GenericReconciler:
    """The generic reconciler over this configuration's broker.

    Raises:
        BrokerUnavailable: the embedded broker is not running.
    """
    broker = broker or sending_broker(config, ledger)
    return GenericReconciler(
        config=config,
        ledger=ledger,
        probe=probe_of(broker),
        dispatcher=BrokerDispatcher(broker, config, ledger),
        contact=contact or Contact(config.lease_ttl),
        typed=required_reconcilers(config) if typed is None else typed,
    )


def probe_of(broker: Broker) -> Probe:
    """What can be asked of this broker."""
    if isinstance(broker, RedisBroker):
        return RedisProbe(broker.client, namespace=broker.namespace)
    return BlindProbe()
