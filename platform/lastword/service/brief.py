"""The verb for attempts that were over before their start was written: both with one statement.

Most jobs are short, and this is what their truth costs: so the rows of their events and attempts
are made from the moved runs by the database, and never leave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lastword.identity import RunId
from lastword.service import moves
from lastword.service.attempts import measure_endings
from lastword.service.children import HAS_NO_CHILDREN, count_off
from lastword.service.claiming import (
    BEGIN,
    HELD_BY_WORKER,
    NEXT_ATTEMPT,
    Claiming,
    begin_item,
)
from lastword.service.ending import FINISH_MOVE, Ending
from lastword.service.moves import SAME_DISPATCH, Move, Step
from lastword.service.values import AttemptEnd, Beginning, Recorded
from lastword.states import CLAIM, FINISH, Outcome, Source
from lastword.storage.ledger import Row, as_json

#: A claim and a finish after each other. What an end finds of its attempt, the claim has just
#: written; what the claim finds of its reservation stands in for it.
_BOTH = Move(
    arrow=FINISH,
    columns={**BEGIN.columns, **FINISH_MOVE.columns},
    writes={**BEGIN.writes, **FINISH_MOVE.writes},
    guards=(SAME_DISPATCH, HELD_BY_WORKER, NEXT_ATTEMPT, HAS_NO_CHILDREN),
)

#: Of the runs in `moved`: what a claim and a finish leave, in their order.
_EVENTS = (
    "INSERT INTO lastword_event "
    "(run_id, at, kind, source, attempt, worker_id, outcome, reason, terminal) "
    f"SELECT id, claimed_at, '{CLAIM.kind}', '{Source.WORKER}', attempt, worker_id, "
    f"'{Outcome.PENDING}', NULL, FALSE FROM moved UNION ALL "
    f"SELECT id, changed_at, '{FINISH.kind}', '{Source.WORKER}', attempt, worker_id, "
    "outcome, reason, TRUE FROM moved"
)

_ATTEMPTS = (
    "INSERT INTO lastword_attempt "
    "(run_id, number, worker_id, started_at, ended_at, ending, reason) "
    "SELECT id, attempt, worker_id, claimed_at, changed_at, outcome, reason FROM moved"
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
            moved = self._both([{**begin_item(start), **_end_item(end)} for start, end in attempts])
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
        moved = moves.write(ledger, both, items, leaves=(_EVENTS, _ATTEMPTS))
        if not moved:
            return []
        begun = [{**row, "changed_at": row["claimed_at"], "reason": None} for row in moved]
        steps = [Step(CLAIM, begun), Step(FINISH, moved)]
        moves.account(ledger, steps, by=Source.WORKER)
        measure_endings(ledger, [(row["operation"], row["outcome"]) for row in moved])
        moves.gather(ledger, count_off(ledger, moved))
        return moved


def _end_item(end: AttemptEnd) -> dict[str, Any]:
    # Without what most have not: each word of it is written and read for every job.
    told: dict[str, Any] = {
        "run_id": end.run_id,
        "attempt": end.attempt,
        "worker_id": end.worker_id,
        "outcome": end.outcome,
    }
    if end.reason:
        told["reason"] = end.reason
    if end.counts:
        told["summary_counts"] = as_json(end.counts)
    if end.failures:
        told["failures"] = as_json(list(end.failures))
    if end.context:
        told["context"] = as_json(end.context)
    return told
