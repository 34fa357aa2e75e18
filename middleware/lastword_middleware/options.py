"""The options that Lastword gives to messages: which sending of its run it is, and its trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Set on every message of a covered operation; compared with the run's own number at the claim.
DISPATCH = "lastword_dispatch"

#: The largest dispatch number that the ledger's column holds.
LONGEST_DISPATCH = 2**31 - 1

#: The trace context in which a run was started, as its propagator writes it: names to values. Goes
#: with the message through retries and delays, and is kept with it in the ledger.
TRACE = "lastword_trace"

#: Among these names, the attempt that was last, as a `traceparent`; only on messages.
LAST_ATTEMPT = "lastword-last-attempt"

#: The most of a trace context that is taken: names, characters of a name, characters of a value.
#: 512 is what W3C Trace Context asks for at least.
MOST_TRACE_NAMES, LONGEST_TRACE_NAME, LONGEST_TRACE_VALUE = 8, 64, 512

#: Options that belong to one journey of a message through the broker, not to its run.
OF_ONE_JOURNEY = frozenset({"eta", "redis_message_id", "traceback", "requeue_timestamp", "retries"})


def dispatch_of(options: Mapping[str, Any]) -> int | None:
    """The dispatch number a message carries; None when it carries none that is a number."""
    value = options.get(DISPATCH)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def trace_of(options: Mapping[str, Any]) -> dict[str, str]:
    """The trace context a message carries; empty when it carries none, or no sound one."""
    value = options.get(TRACE)
    if not isinstance(value, dict) or len(value) > MOST_TRACE_NAMES:
        return {}
    return dict(value) if all(is_trace_entry(*entry) for entry in value.items()) else {}


def is_trace_entry(name: object, value: object) -> bool:
    """Whether this may stand in a trace context: short texts of ASCII that can be printed."""
    return _is_short(name, LONGEST_TRACE_NAME) and _is_short(value, LONGEST_TRACE_VALUE)


def _is_short(text: object, longest: int) -> bool:
    return isinstance(text, str) and len(text) <= longest and text.isascii() and text.isprintable()
