"""Cron expressions in a time zone: when the slots of a schedule are.

The arithmetic is cronsim's, which follows Debian's cron: a slot at a fixed hour that the clocks
jump over comes right after the gap, one that they repeat comes once, and slots of every hour or
minute follow real time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from lastword.errors import InvalidInputs

#: Fields of an expression: minute, hour, day of the month, month, day of the week.
FIELDS = 5


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was found to be one, in a time zone that exists."""

    expression: str
    timezone: str

    def after(self, moment_ms: int) -> Iterator[int]:
        """The slots after a moment, in milliseconds since 1970, for as long as one asks."""
        zone = ZoneInfo(self.timezone)
        start = datetime.fromtimestamp(moment_ms / 1000, tz=UTC).astimezone(zone)
        for slot in CronSim(self.expression, start):
            yield int(slot.timestamp() * 1000)

    def next_after(self, moment_ms: int) -> int:
        """The first slot after a moment."""
        return next(self.after(moment_ms))


def read_cron(expression: str, timezone: str) -> Cron:
    """A cron expression of five fields.

    Raises:
        InvalidInputs: it is none, it never comes, or there is no such time zone.
    """
    try:
        ZoneInfo(timezone)
    except (OSError, ValueError, LookupError):
        raise InvalidInputs(
            f"time zone {timezone!a}",
            expected="a name of the IANA database such as 'UTC' or 'Europe/Berlin'",
        ) from None
    cron = Cron(" ".join(expression.split()), timezone)
    try:
        if len(expression.split()) != FIELDS:
            raise CronSimError(f"it has {len(expression.split())} fields")
        cron.next_after(0)
    except (CronSimError, StopIteration, ValueError) as error:
        # A number of more digits than an interpreter reads is none of cronsim's own errors.
        why = "it never comes" if isinstance(error, StopIteration) else str(error)
        raise InvalidInputs(
            f"cron expression {expression!a} ({why})",
            expected="five fields: minute, hour, day of the month, month, day of the week",
            mend="for example '30 2 * * *' for every night at half past two",
        ) from None
    return cron
