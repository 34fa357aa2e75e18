"""Lifecycle policies as a configuration file has them: what a table may say, what is derived."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lastword.access import Capability
from lastword.errors import ConfigError
from lastword.policy import GENERIC, LONGEST_RETRIES_S, OnLoss, Policy, retries_within
from lastword.readers import LONGEST_S

#: The largest count of anything.
LARGEST_COUNT = 2**31 - 1

#: Characters of an operation's name; the ledger's column holds no more.
LONGEST_NAME = 100

#: Tries after the first, where nobody says otherwise and they fit.
USUAL_RETRIES = 3

REQUIRED_KEYS = ("label", "time_limit", "queued_stale_after", "running_stale_after")


def policy_from_table(
    operation: str, table: Mapping[str, Any], *, origin: str | Callable[[str], str]
) -> Policy:
    """The policy that a configuration table states, with what it leaves out derived.

    Whether its durations fit into each other is another question: see `lastword.timing`.

    Args:
        operation: the operation's name.
        table: the `[operations."NAME"]` table as parsed.
        origin: where the table stands, for the error's sake; or what tells where a key of it does,
            and where the table does if it is asked for a key that the table has not.

    Raises:
        ConfigError: with every fault of the table.
    """
    faults = [
        f'{origin if isinstance(origin, str) else origin(key)}, [operations."{operation}"]: {fault}'
        for key, fault in [*_name_faults(operation), *_field_faults(table)]
    ]
    if faults:
        raise ConfigError(faults)
    return Policy(operation=operation, **_with_derived(table))


def _name_faults(operation: str) -> Iterator[tuple[str, str]]:
    if not 0 < len(operation) <= LONGEST_NAME or not operation.isprintable():
        yield "", f"its name is {operation!a}; expected 1 to {LONGEST_NAME} printable characters"


def _field_faults(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in REQUIRED_KEYS:
        if key not in table:
            yield key, f"{key} is missing; expected {_EXPECTED[_CHECKS[key]]}"
    for key, value in table.items():
        check = _CHECKS.get(key)
        if check is None:
            yield key, f"unknown key {key!r}; expected one of {', '.join(_CHECKS)}"
        elif not check(value):
            yield key, f"{key} is {value!r}; expected {_EXPECTED[check]}"


def _duration(value: object) -> bool:
    # TOML can also write an infinite number, and NaN.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= LONGEST_S


def _wait(value: object) -> bool:
    return _duration(value) or (value == 0 and not isinstance(value, bool))


def _capability(value: object) -> bool:
    return isinstance(value, str) and value in set(Capability)


def _count(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return 0 <= value <= LARGEST_COUNT


def _positive_count(value: object) -> bool:
    return _count(value) and value != 0


def _loss(value: object) -> bool:
    return isinstance(value, str) and value in set(OnLoss)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _names(value: object) -> bool:
    # Without the generic one nothing would hold the outer bounds.
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return texts and isinstance(value, list) and GENERIC in value


_EXPECTED: Mapping[Callable[[object], bool], str] = {
    _duration: f"a number of seconds above 0, at most {LONGEST_S:g}",
    _wait: f"a number of seconds, 0 to {LONGEST_S:g}",
    _capability: f"one of {', '.join(Capability)}",
    _count: f"a whole number, 0 to {LARGEST_COUNT}",
    _positive_count: f"a whole number, 1 to {LARGEST_COUNT}",
    _loss: "'fail' or 'redispatch'",
    _flag: "true or false",
    _text: "a text that is not empty",
    _names: f"a list of reconciler names with {GENERIC!r} among them",
}

_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "label": _text,
    "expected_max_runtime": _duration,
    "time_limit": _duration,
    "queued_stale_after": _duration,
    "running_stale_after": _duration,
    "max_queue_wait": _duration,
    "max_retries": _count,
    "min_backoff": _duration,
    "max_backoff": _duration,
    "max_deliveries": _positive_count,
    "on_worker_lost": _loss,
    "on_message_lost": _loss,
    "direct_bridge": _flag,
    "reconcilers": _names,
    "partial_on_loss": _flag,
    "manual_review": _flag,
    "needs_tenant": _flag,
    "enabled": _flag,
    "max_deferral": _wait,
    "capability": _capability,
    "scope": _text,
    "writes": _flag,
}


def _usual_retries(time_limit: float, min_backoff: float, max_backoff: float) -> int:
    for retries in range(USUAL_RETRIES, 0, -1):
        if retries_within(retries, time_limit, min_backoff, max_backoff) <= LONGEST_RETRIES_S:
            return retries
    return 0


def _with_derived(table: Mapping[str, Any]) -> dict[str, Any]:
    # Conservative where work may have had effects (a lost worker), generous where it cannot have
    # had any (a lost message).
    max_queue_wait = table.get("max_queue_wait", max(3600.0, 2 * table["queued_stale_after"]))
    max_backoff = table.get(
        "max_backoff", max(min(60.0, max_queue_wait), table.get("min_backoff", 0.0))
    )
    min_backoff = table.get("min_backoff", min(1.0, max_backoff))
    usual_retries = _usual_retries(table["time_limit"], min_backoff, max_backoff)
    return {
        "label": table["label"],
        "expected_max_runtime": table.get("expected_max_runtime", table["time_limit"] / 2),
        "time_limit": table["time_limit"],
        "queued_stale_after": table["queued_stale_after"],
        "running_stale_after": table["running_stale_after"],
        "max_queue_wait": max_queue_wait,
        "max_retries": table.get("max_retries", usual_retries),
        "min_backoff": min_backoff,
        "max_backoff": max_backoff,
        "max_deliveries": table.get("max_deliveries", 3),
        "on_worker_lost": OnLoss(table.get("on_worker_lost", OnLoss.FAIL)),
        "on_message_lost": OnLoss(table.get("on_message_lost", OnLoss.REDISPATCH)),
        "direct_bridge": table.get("direct_bridge", True),
        "reconcilers": tuple(table.get("reconcilers", (GENERIC,))),
        "partial_on_loss": table.get("partial_on_loss", False),
        "manual_review": table.get("manual_review", False),
        "needs_tenant": table.get("needs_tenant", False),
        "enabled": table.get("enabled", True),
        "max_deferral": table.get("max_deferral", 0.0),
        "capability": Capability(table.get("capability", Capability.START)),
        "scope": table.get("scope"),
        "writes": table.get("writes", False),
    }
