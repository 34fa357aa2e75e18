"""The rules of a running server: how strict, slow and patient it is, with or without a restart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

#: Seconds a delta token lives at Microsoft: 7 days.
DELTA_LIFETIME_S = 7 * 24 * 3600.0


class RetryAfter(StrEnum):
    """How a throttled answer says when to come back."""

    INT = "int"
    DECIMAL = "decimal"
    DATE = "date"
    ABSENT = "absent"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Rules:
    """How the server behaves.

    Attributes:
        latency_s: how long every answer of the API takes at least, in seconds.
        strict: whether a read-only property in a body is refused; else it is ignored.
        scale: what the documented limits are divided by; 0 means no limits.
        retry_after: how a throttled answer says when to come back.
        penalty_s: what coming back too early adds to the wait, in seconds.
        consistency_s: how long a new object cannot be found by its id, in seconds.
        delta_lifetime_s: how long a delta token is good, in seconds.
        delta_replay: changes before a delta token that are told again.
    """

    latency_s: float = 0.0
    strict: bool = True
    scale: float = 1.0
    retry_after: RetryAfter = RetryAfter.INT
    penalty_s: float = 1.0
    consistency_s: float = 0.0
    delta_lifetime_s: float = DELTA_LIFETIME_S
    delta_replay: int = 0

    def __post_init__(self) -> None:
        for name in ("latency_s", "scale", "penalty_s", "consistency_s", "delta_lifetime_s"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value!r}; expected a number of at least 0")
        if type(self.delta_replay) is not int or self.delta_replay < 0:
            raise ValueError(f"delta_replay is {self.delta_replay!r}; expected a whole number")
        if not isinstance(self.strict, bool):
            raise ValueError(f"strict is {self.strict!r}; expected true or false")
        object.__setattr__(self, "retry_after", RetryAfter(self.retry_after))


def changed_rules(rules: Rules, changes: Mapping[str, Any]) -> Rules:
    """The rules with some of them changed.

    Raises:
        ValueError: a rule is unknown or has a wrong value.
    """
    known = {field.name for field in fields(Rules)}
    unknown = set(changes) - known
    if unknown:
        raise ValueError(f"unknown rules {sorted(unknown)}; expected some of {sorted(known)}")
    return replace(rules, **changes)
