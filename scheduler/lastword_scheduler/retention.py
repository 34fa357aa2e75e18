"""Keeps the ledger small: old history is removed, measures are added up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from lastword.service.pruning import give_pages_back, prune
from lastword.storage.ledger import Ledger
from lastword.storage.measures import MOST_FOLDED, fold
from lastword_scheduler.reports import GivenUp, SweepReport, never


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
