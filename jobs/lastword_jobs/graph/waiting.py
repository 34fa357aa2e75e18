"""How long to wait before asking again: what the provider says, else back-off with full jitter."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Seconds: the first back-off, and the longest.
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 8.0


def retry_after_s(header: str | None, *, now: datetime) -> float | None:
    """A Retry-After header in seconds; None when it is missing or says nothing.

    Seconds may have decimals (Graph documents `2.128`), and a date may stand instead (RFC 9110).
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        return _until(header, now)
    return seconds if 0 <= seconds < float("inf") else None


def backoff_s(tries: int) -> float:
    """A random wait below a bound that doubles with each try."""
    bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**tries)
    return random.uniform(0, bound)  # noqa: S311 - jitter, not a secret


def _until(header: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
