"""The verb for attempts that were over before their start was written: both with one statement.

Most jobs are short, and this is what their truth costs: so the rows of their events and attempts
are made from the moved runs by the database, and never leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lastword.identity import RunId
from lastword.service import moves
from lastword.service.attempts import BEGUN_AND_RETURNED, measure_endings
from lastword.service.children import HAS_NO_CHILDREN, count_off
from lastword.service.claiming import (
    BEGIN,
    HELD_BY_WORKER,
    NEXT_ATTEMPT,
    Claiming,
    begin_item,
)
from lastword.service.end_items import end_item
from lastword.service.ending import FINISH_MOVE, Ending
from lastword.service.events import appended, told_of
from lastword.service.moves import SAME_DISPATCH, Move, Step
from lastword.service.values import AttemptEnd, Beginning, Recorded
from lastword.states import CLAIM, FINISH, Outcome, Source
from lastword.storage.ledger import Row

#: A claim and a finish after each other. What an end finds of its attempt, the claim has just
#: written; what the claim finds of its reservation stands in for it.
_BOTH = Move(
    arrow=FINISH,
    columns={**BEGIN.columns, **FINISH_MOVE.columns},
    writes={**BEGIN.writes, **FINISH_MOVE.writes},
    guards=(SAME_DISPATCH, HELD_BY_WORKER, NEXT_ATTEMPT, HAS_NO_CHILDREN),
)

#: What a claim and a finish leave, in their order.
_LEAVES = (
    appended(
        told_of(CLAIM, at="claimed_at", outcome=f"'{Outcome.PENDING}'", reason="NULL"),
        told_of(FINISH),
    ),
    BEGUN_AND_RETURNED,
)


class Brief(Claiming, Ending):
    """What `begin` and `finish` do after each other, for many short attempts at once."""

    def begin_and_finish(
        self, attempts: Sequence[tuple[Beginning, AttemptEnd]]
    ) -> dict[RunId, Recorded]:
        """Record attempts that were begun with a reservation and have returned.

        One that cannot be recorded so is begun first and finished then, with all that may come of
        it.
        """
        if not attempts:
            return {}
        with self.ledger.transaction():
            moved = self._both([{**begin_item(start), **end_item(end)} for start, end in attempts])
            recorded = {RunId(row["id"]): Recorded.MOVED for row in moved}
            left = [pair for pair in attempts if pair[1].run_id not in recorded]
            if left:
                self.begin([start for start, _ in left])
                recorded.update(self.finish([end for _, end in left]))
        return recorded

    def _both(self, items: list[dict[str, Any]]) -> list[Row]:
        ledger = self.ledger
        ledger.lock_runs([item["run_id"] for item in items])
        both = moves.statement(ledger, _BOTH, CLAIM.origins, returns=moves.TOLD)
        moved = moves.write(ledger, both, items, leaves=_LEAVES)
        if not moved:
            return []
        moves.account(ledger, [Step(CLAIM, moved), Step(FINISH, moved)], by=Source.WORKER)
        measure_endings(ledger, [(row["operation"], row["outcome"]) for row in moved])
        moves.gather(ledger, count_off(ledger, moved))
        return moved
