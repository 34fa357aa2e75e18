"""Keeps the ledger small: old history is removed, measures are added up, SQLite's log is cut."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lastword.service.pruning import give_pages_back, prune
from lastword.storage.ledger import Ledger
from lastword.storage.measures import MOST_FOLDED, fold
from lastword.storage.write_ahead import LONGEST_BYTES, log_bytes, shorten_log
from lastword_scheduler.reports import GivenUp, SweepReport, never

#: Seconds until a log is looked at again that could not be cut.
PUT_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Folding:
    """Adds up what was measured, so that a scrape reads few rows.

    Args:
        ledger: where it is.
    """

    ledger: Ledger

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Add rows up, batch after batch."""
        folded: Counter[str] = Counter()
        while not given_up() and (rows := fold(self.ledger)):
            folded["folded"] += rows
            if rows < MOST_FOLDED:
                break
        return SweepReport(found=folded.total(), acted=folded)


@dataclass(slots=True)
class Shortening:
    """Keeps the write-ahead log of a SQLite file short.

    Args:
        ledger: where it is.
        clock: seconds that only go up.
    """

    ledger: Ledger
    clock: Callable[[], float] = time.monotonic
    _not_before: float = 0.0

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Cut the log if it has grown too long."""
        if given_up() or self.clock() < self._not_before:
            return SweepReport()
        if shorten_log(self.ledger):
            return SweepReport(found=1, acted=Counter(shortened=1))
        if log_bytes(self.ledger) > LONGEST_BYTES:
            # Somebody reads without end; to try keeps those who write waiting.
            self._not_before = self.clock() + PUT_OFF_S
            return SweepReport(found=1, skipped=1)
        return SweepReport()


@dataclass(frozen=True, slots=True)
class Retention:
    """Prunes the ledger.

    Args:
        ledger: what is pruned.
        older_than_s: how long history is kept, in seconds.
        within_s: for how long it prunes with one sweep, in seconds; the next one goes on.
        clock: seconds that only go up.
    """

    ledger: Ledger
    older_than_s: float
    within_s: float
    clock: Callable[[], float] = time.monotonic

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Remove what is old enough, batch after batch."""
        until = self.clock() + self.within_s

        def is_enough() -> bool:
            return given_up() or self.clock() > until

        removed = prune(self.ledger, older_than_s=self.older_than_s, is_enough=is_enough)
        give_pages_back(self.ledger, is_enough=is_enough)
        return SweepReport(found=removed.total(), acted=removed)
