"""The message option by which a message says which sending of its run it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Set on every message of a covered operation; compared with the run's own number at the claim.
DISPATCH = "lastword_dispatch"

#: The largest dispatch number that the ledger's column holds.
LONGEST_DISPATCH = 2**31 - 1

#: Options that belong to one journey of a message through the broker, not to its run.
OF_ONE_JOURNEY = frozenset({"eta", "redis_message_id", "traceback", "requeue_timestamp", "retries"})


def dispatch_of(options: Mapping[str, Any]) -> int | None:
    """The dispatch number a message carries; None when it carries none that is a number."""
    value = options.get(DISPATCH)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
