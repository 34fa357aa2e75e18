"""What one run of a job of the scheduler saw and did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

#: Says whether whoever asked for a sweep has given it up: it should end soon, and act no more.
GivenUp = Callable[[], bool]


def never() -> bool:
    """For a sweep that nobody gives up."""
    return False


@dataclass(slots=True)
class SweepReport:
    """What was seen and done.

    Attributes:
        found: what was looked at.
        acted: what was changed, by what was done.
        skipped: what could not be read or judged, and was left.
        lost_races: what moved between the look and the deed: nothing was written.
        lost_workers: workers whose lease had run out.
    """

    found: int = 0
    acted: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    lost_races: int = 0
    lost_workers: int = 0

    def add(self, other: SweepReport) -> None:
        """Add what another sweep saw and did."""
        self.found += other.found
        self.acted += other.acted
        self.skipped += other.skipped
        self.lost_races += other.lost_races
        self.lost_workers += other.lost_workers
