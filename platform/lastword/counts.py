"""Summary counts: the registry of keys and the rule that they hold numbers and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping

#: Every key a run may count under; one list for all operations.
REGISTERED_KEYS = (
    "total",
    "processed",
    "succeeded",
    "failed",
    "skipped",
    "created",
    "updated",
    "deleted",
    "unchanged",
    "items",
    "pages",
    "assignments",
    "findings",
    "drifted",
    "missing",
    "unexpected",
    "resolved",
    "throttled",
    "retried",
    "bytes",
)

Number = int | float


def checked_counts(counts: Mapping[str, object]) -> dict[str, Number]:
    """`counts` when every key is registered and every value is a finite number.

    Raises:
        ValueError: a key is not registered, or a value is not a finite number.
    """
    checked: dict[str, Number] = {}
    for key, value in counts.items():
        if key not in REGISTERED_KEYS:
            raise ValueError(
                f"count key {key!r} is not registered; expected one of {', '.join(REGISTERED_KEYS)}"
            )
        # bool is an int to Python and a lie to a counter.
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"count {key!r} is {value!r}; expected a number")
        if not math.isfinite(value):
            raise ValueError(f"count {key!r} is {value!r}; expected a finite number")
        checked[key] = value
    return checked
