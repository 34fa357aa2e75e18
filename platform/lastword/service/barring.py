"""The verb of the gate: a queued run that may not be done ends as blocked, before any effect."""

from __future__ import annotations

from collections.abc import Sequence

from lastword.identity import RunId
from lastword.service import moves
from lastword.service.accepting import failures_of
from lastword.service.moves import SAME_DISPATCH, Move
from lastword.service.reserving import MAY_HOLD
from lastword.service.values import Barred
from lastword.states import BLOCK, Outcome, Source
from lastword.storage.ledger import Ledger

_BLOCK = Move(
    arrow=BLOCK,
    columns={
        "run_id": "text",
        "dispatch": "integer",
        "worker_id": "text",
        "reason": "text",
        "failures": "text",
    },
    writes={
        "outcome": f"'{Outcome.BLOCKED}'",
        "reason": "item_reason",
        "failures": "item_failures",
        "closed_by": f"'{Source.GATE}'",
    },
    # Another worker may have begun with it: what the gate was asked about is a duplicate.
    guards=(SAME_DISPATCH, MAY_HOLD),
)


class Barring:
    """What was allowed when a run was accepted may be allowed no more when its turn comes."""

    ledger: Ledger

    def block(self, barred: Sequence[Barred]) -> list[RunId]:
        """End queued runs that the gate does not let through; those that ended."""
        items = [
            {
                "run_id": item.run_id,
                "dispatch": item.dispatch,
                "worker_id": item.worker_id,
                "reason": item.denial.reason,
                "failures": failures_of(item.denial),
            }
            for item in barred
        ]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, _BLOCK, items, by=Source.GATE)
        return [RunId(row["id"]) for row in moved]
