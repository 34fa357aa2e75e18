"""The timing chain of what is really there: a broker, its middleware and actors, a process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dramatiq import Actor
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker

from lastword.config import Config
from lastword.policy import Policy
from lastword.timing import Rule, Violation, chain_of, violations
from lastword_middleware.ordering import misplaced

#: Options of an actor that take the place of a value of its policy: the value, in its unit.
_TAKES_PLACE: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "time_limit": ("time_limit", lambda value: float(value) / 1000),
    "max_retries": ("max_retries", int),
    "min_backoff": ("min_backoff", lambda value: float(value) / 1000),
    "max_backoff": ("max_backoff", lambda value: float(value) / 1000),
}


def violations_of(
    broker: Broker,
    config: Config,
    *,
    shutdown_timeout_s: float | None = None,
    queues: Collection[str] = (),
) -> list[Violation]:
    """Every place where what is there breaks the chain.

    Args:
        broker: the broker, with its actors declared and Lastword installed.
        config: the configuration.
        shutdown_timeout_s: how long the worker really waits for attempts, if somebody knows better
            than the configuration.
        queues: the queues that are consumed; all of them if empty.
    """
    actors = [actor for actor in covered_actors(broker) if not queues or actor.queue_name in queues]
    policies = {actor: config.policies[actor.options["operation"]] for actor in actors}
    drain = config.worker_shutdown_timeout if shutdown_timeout_s is None else shutdown_timeout_s
    silence = broker.heartbeat_timeout / 1000 if isinstance(broker, RedisBroker) else None
    chain = replace(
        chain_of(config),
        # A message may bring a limit of its own, up to what the policy allows.
        policies=tuple(dict.fromkeys(policies.values())),
        worker_shutdown_timeout=drain,
        broker_heartbeat_timeout=silence,
    )
    found = [*violations(chain), *_out_of_order(broker)]
    for actor, policy in policies.items():
        own = replace(chain, policies=(_as_declared(actor, policy),))
        found += [item for item in _renamed(actor, violations(own)) if _is_new(item, found)]
    return sorted(found, key=lambda violation: violation.rule.number)


def covered_actors(broker: Broker) -> Iterator[Actor[Any, Any]]:
    """Those that name an operation."""
    return (actor for actor in broker.actors.values() if actor.options.get("operation"))


def _as_declared(actor: Actor[Any, Any], policy: Policy) -> Policy:
    values = {
        name: read(actor.options[option])
        for option, (name, read) in _TAKES_PLACE.items()
        if actor.options.get(option) is not None
    }
    return replace(policy, **values)


def _renamed(actor: Actor[Any, Any], found: list[Violation]) -> Iterator[Violation]:
    for item in found:
        if item.subject.startswith("operation "):
            yield replace(item, subject=f'{item.subject}, actor "{actor.actor_name}"')


def _is_new(item: Violation, found: list[Violation]) -> bool:
    return not any(
        item.rule is other.rule and item.subject.startswith(other.subject) for other in found
    )


def _out_of_order(broker: Broker) -> Iterator[Violation]:
    for said in misplaced(broker.middleware):
        yield Violation(
            Rule.MIDDLEWARE_IN_ORDER,
            "middleware",
            said,
            "install Lastword after everything else that adds middleware to the broker, or add "
            "yours with before=dramatiq.middleware.Retries",
        )
