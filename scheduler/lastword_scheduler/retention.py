"""Removes history that is older than it is kept."""

from __future__ import annotations

from dataclasses import dataclass

from lastword.service.pruning import prune
from lastword.storage.ledger import Ledger
from lastword_scheduler.reports import GivenUp, SweepReport, never


@dataclass(frozen=True, slots=True)
class Retention:
    """Prunes the ledger.

    Args:
        ledger: what is pruned.
        older_than_s: how long history is kept, in seconds.
    """

    ledger: Ledger
    older_than_s: float

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Remove what is old enough, batch after batch."""
        removed = prune(self.ledger, older_than_s=self.older_than_s, is_enough=given_up)
        return SweepReport(found=removed.total(), acted=removed)
