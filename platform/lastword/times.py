"""Moments as integers: milliseconds since 1970 in UTC, the one form the ledger stores."""

from __future__ import annotations

from datetime import UTC, datetime


def to_datetime(moment_ms: int | None) -> datetime | None:
    """The aware UTC datetime of a stored moment."""
    if moment_ms is None:
        return None
    return datetime.fromtimestamp(moment_ms / 1000, tz=UTC)


def to_iso(moment_ms: int | None) -> str | None:
    """A stored moment as ISO 8601 with milliseconds and `Z`."""
    moment = to_datetime(moment_ms)
    if moment is None:
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
