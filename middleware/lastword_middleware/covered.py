"""Covered actors: those that name an operation. Their options stay inside its policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dramatiq import Actor
from dramatiq.broker import Broker, MessageProxy

from lastword.config import Config
from lastword.errors import LastwordError
from lastword.policy import Policy
from lastword.reasons import Deferral, PermanentFailure
from lastword_middleware.errors import ActorRefused

#: Options of Dramatiq that a policy bounds: the option, and the policy's value in Dramatiq's unit.
_BOUNDED: Mapping[str, Callable[[Policy], int]] = {
    "time_limit": lambda policy: int(policy.time_limit * 1000),
    "max_retries": lambda policy: policy.max_retries,
    "max_backoff": lambda policy: int(policy.max_backoff * 1000),
}


def operation_of(broker: Broker, actor_name: str) -> str | None:
    """The operation that an actor of this broker names; None if it is not covered, or not here."""
    actor = broker.actors.get(actor_name)
    return actor.options.get("operation") if actor else None


def time_limit_s(broker: Broker, message: MessageProxy) -> float:
    """The time limit of a covered message, in seconds."""
    actor = broker.get_actor(message.actor_name)
    limit = message.options.get("time_limit") or actor.options.get("time_limit")
    return float(limit) / 1000 if limit else float("inf")


def cover(actor: Actor[Any, Any], config: Config) -> None:
    """Give a covered actor the options of its policy.

    Raises:
        ActorRefused: the operation has no policy, or an option exceeds it.
    """
    operation = actor.options.get("operation")
    if operation is None:
        return
    try:
        policy = config.policy(operation)
    except LastwordError as error:
        raise ActorRefused(
            f"actor {actor.actor_name!r}: {error.seen}", expected=error.expected, mend=error.mend
        ) from error
    require_inside(policy, actor.options, place=f"actor {actor.actor_name!r}")
    for option, bound in _BOUNDED.items():
        actor.options.setdefault(option, bound(policy))
    actor.options.setdefault("min_backoff", int(policy.min_backoff * 1000))
    actor.options["throws"] = _with_own(actor.options.get("throws"))
    if "retry_when" in actor.options:
        # Dramatiq asks it instead of counting: without a bound the run might never end.
        actor.options["retry_when"] = _bounded(actor.options["retry_when"], policy.max_retries)


def require_inside(policy: Policy, options: Mapping[str, Any], *, place: str) -> None:
    """Refuse options that would outlast the policy's own limits.

    Raises:
        ActorRefused: with the first that does.
    """
    for option, bound in _BOUNDED.items():
        if option in options and not _is_inside(options[option], bound(policy)):
            value = options[option]
            raise ActorRefused(
                f"{place} of operation {policy.operation!r} sets {option}={value!r}",
                expected=f"a number of at most {bound(policy)}, as its policy says",
                mend="lower the option, or raise the policy with everything that depends on it",
            )


def _is_inside(value: Any, bound: int) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value <= bound


def _bounded(
    retry_when: Callable[[int, BaseException], bool], max_retries: int
) -> Callable[[int, BaseException], bool]:
    def bounded(retries: int, exception: BaseException) -> bool:
        return retries < max_retries and retry_when(retries, exception)

    return bounded


def _with_own(throws: Any) -> tuple[type[BaseException], ...]:
    # What is put off is not Dramatiq's to try again either: that would spend a try.
    given = throws if isinstance(throws, tuple) else (throws,) if throws else ()
    return (*given, PermanentFailure, Deferral)
