"""An operation's lifecycle policy: how long each thing may take, and what follows otherwise.

Every duration is in seconds. A policy is read from a configuration table and is immutable; its
version is the hash of its content, so a run can say under which policy it was accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from lastword.errors import ConfigError
from lastword.identity import canonical_json

#: Seconds a worker thread gets to end after its time limit was raised in it.
INTERRUPT_GRACE_S = 5.0

#: The longest duration, in seconds, that is a plan and not a slip: thirty years.
LONGEST_S = 1e9

#: The reconciler that covers every operation.
GENERIC = "generic"

REQUIRED_KEYS = ("label", "time_limit", "queued_stale_after", "running_stale_after")


class OnLoss(StrEnum):
    """What a reconciler does with a run that lost its worker or its message."""

    FAIL = "fail"
    REDISPATCH = "redispatch"


@dataclass(frozen=True, slots=True)
class Policy:
    """One operation's lifecycle policy.

    Attributes:
        operation: the operation's name, e.g. `policy.sync`.
        label: what people read.
        expected_max_runtime: how long a healthy attempt takes at most.
        time_limit: when an attempt is interrupted.
        queued_stale_after: how long a queued run may go unexplained.
        running_stale_after: how long an attempt may run before it is ended from outside.
        max_queue_wait: the outer bound of waiting, backlog or not.
        max_retries: tries after the first that failed.
        min_backoff: the wait before the first retry.
        max_backoff: the longest wait before a retry.
        max_deliveries: attempts that may be lost with their worker before the run is failed.
        on_worker_lost: what follows the loss of the worker in mid-run.
        on_message_lost: what follows the loss of the message before the start.
        direct_bridge: whether the queue's own failure is carried onto the run at once.
        reconcilers: the reconcilers that cover this operation: `generic`, and any that can read the
            domain's own record of the work.
        partial_on_loss: whether an attempt that was lost after it had processed something ends its
            run as succeeded in part; only where every item stands by itself.
        manual_review: whether a run that has ended may be done again only after somebody looked:
            `lastword runs retry` refuses it.
        needs_tenant: whether a run of it works on a tenant, and cannot be started without one.
    """

    operation: str
    label: str
    expected_max_runtime: float
    time_limit: float
    queued_stale_after: float
    running_stale_after: float
    max_queue_wait: float
    max_retries: int
    min_backoff: float
    max_backoff: float
    max_deliveries: int
    on_worker_lost: OnLoss
    on_message_lost: OnLoss
    direct_bridge: bool
    reconcilers: tuple[str, ...]
    partial_on_loss: bool = False
    manual_review: bool = False
    needs_tenant: bool = False

    @property
    def version(self) -> str:
        """The first 16 hex digits of the sha256 over the policy's content."""
        return hashlib.sha256(canonical_json(self.document()).encode()).hexdigest()[:16]

    def document(self) -> dict[str, Any]:
        """The policy as plain JSON values, as kept in the ledger."""
        return {**asdict(self), "reconcilers": list(self.reconcilers)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Policy:
        """A policy back from `document()`; keys of a newer version are left out."""
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in document.items() if key in known}
        values["on_worker_lost"] = OnLoss(values["on_worker_lost"])
        values["on_message_lost"] = OnLoss(values["on_message_lost"])
        values["reconcilers"] = tuple(values["reconcilers"])
        return cls(**values)


def policy_from_table(operation: str, table: Mapping[str, Any], *, origin: str) -> Policy:
    """The policy that a configuration table states, with what it leaves out derived.

    Args:
        operation: the operation's name.
        table: the `[operations."NAME"]` table as parsed.
        origin: where the table stands, for the error's sake.

    Raises:
        ConfigError: with every fault of the table.
    """
    faults = list(_field_faults(table))
    if faults:
        raise _config_error(operation, origin, faults)
    policy = Policy(operation=operation, **_with_derived(table))
    faults = list(_rule_faults(policy))
    if faults:
        raise _config_error(operation, origin, faults)
    return policy


def _config_error(operation: str, origin: str, faults: list[str]) -> ConfigError:
    place = f'{origin}, [operations."{operation}"]'
    return ConfigError([f"{place}: {fault}" for fault in faults])


def _field_faults(table: Mapping[str, Any]) -> Iterator[str]:
    for key in REQUIRED_KEYS:
        if key not in table:
            yield f"{key} is missing"
    for key, value in table.items():
        check = _CHECKS.get(key)
        if check is None:
            yield f"unknown key {key!r}; expected one of {', '.join(_CHECKS)}"
        elif fault := check(value):
            yield f"{key} is {value!r}; expected {fault}"


def _duration(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= LONGEST_S:
        return ""
    # TOML can also write an infinite number, and NaN.
    return f"a number of seconds above 0, at most {LONGEST_S:g}"


def _count(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return "a whole number, 0 or more"
    return ""


def _positive_count(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return "a whole number, 1 or more"
    return ""


def _loss(value: object) -> str:
    known = isinstance(value, str) and value in set(OnLoss)
    return "" if known else "'fail' or 'redispatch'"


def _flag(value: object) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _text(value: object) -> str:
    return "" if isinstance(value, str) and value else "a text that is not empty"


def _names(value: object) -> str:
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    # Without it nothing would hold the outer bounds.
    if texts and isinstance(value, list) and GENERIC in value:
        return ""
    return f"a list of reconciler names with {GENERIC!r} among them"


_CHECKS = {
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
}


def _with_derived(table: Mapping[str, Any]) -> dict[str, Any]:
    # Conservative where work may have had effects (a lost worker), generous where it cannot have
    # had any (a lost message).
    max_queue_wait = table.get("max_queue_wait", max(3600.0, 2 * table["queued_stale_after"]))
    max_backoff = table.get(
        "max_backoff", max(min(60.0, max_queue_wait), table.get("min_backoff", 0.0))
    )
    return {
        "label": table["label"],
        "expected_max_runtime": table.get("expected_max_runtime", table["time_limit"] / 2),
        "time_limit": table["time_limit"],
        "queued_stale_after": table["queued_stale_after"],
        "running_stale_after": table["running_stale_after"],
        "max_queue_wait": max_queue_wait,
        "max_retries": table.get("max_retries", 3),
        "min_backoff": table.get("min_backoff", min(1.0, max_backoff)),
        "max_backoff": max_backoff,
        "max_deliveries": table.get("max_deliveries", 3),
        "on_worker_lost": OnLoss(table.get("on_worker_lost", OnLoss.FAIL)),
        "on_message_lost": OnLoss(table.get("on_message_lost", OnLoss.REDISPATCH)),
        "direct_bridge": table.get("direct_bridge", True),
        "reconcilers": tuple(table.get("reconcilers", (GENERIC,))),
        "partial_on_loss": table.get("partial_on_loss", False),
        "manual_review": table.get("manual_review", False),
        "needs_tenant": table.get("needs_tenant", False),
    }


def _rule_faults(policy: Policy) -> Iterator[str]:
    if policy.expected_max_runtime > policy.time_limit:
        yield (
            f"expected_max_runtime ({policy.expected_max_runtime:g}) is above time_limit "
            f"({policy.time_limit:g}); raise the limit"
        )
    if policy.time_limit + INTERRUPT_GRACE_S > policy.running_stale_after:
        yield (
            f"time_limit ({policy.time_limit:g}) + {INTERRUPT_GRACE_S:g} s to interrupt is above "
            f"running_stale_after ({policy.running_stale_after:g}); a reconciler would end runs "
            f"that are still allowed to work"
        )
    if policy.queued_stale_after > policy.max_queue_wait:
        yield (
            f"queued_stale_after ({policy.queued_stale_after:g}) is above max_queue_wait "
            f"({policy.max_queue_wait:g})"
        )
    if policy.max_backoff > policy.max_queue_wait:
        yield (
            f"max_backoff ({policy.max_backoff:g}) is above max_queue_wait "
            f"({policy.max_queue_wait:g}); a retry would be ended while it waits"
        )
    if policy.min_backoff > policy.max_backoff:
        yield f"min_backoff ({policy.min_backoff:g}) is above max_backoff ({policy.max_backoff:g})"
