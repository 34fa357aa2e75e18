"""The verbs that end a run on behalf of its attempt, or of the queue that gave up on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service import moves
from lastword.service.attempts import RETURNED, end_attempts, measure_endings
from lastword.service.children import HAS_NO_CHILDREN, HAS_NOT_RETURNED, WAITS_UNTIL
from lastword.service.end_items import END_COLUMNS, END_WRITES, FACTS, bridged, end_item, ended_item
from lastword.service.events import appended, told_of, write_events, write_late_results
from lastword.service.moves import SAME_ATTEMPT, SAME_DISPATCH, SAME_WORKER, Move
from lastword.service.reserving import MAY_HOLD
from lastword.service.values import AttemptEnd, Recorded, Rejection
from lastword.states import (
    BRIDGE_ATTEMPT,
    BRIDGE_DELIVERY,
    CANCEL_ATTEMPT,
    DECLINE,
    FINISH,
    EventKind,
    Outcome,
    Source,
    Status,
)
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

#: An attempt that returned ends its run.
FINISH_MOVE = Move(
    arrow=FINISH,
    columns=END_COLUMNS,
    writes={**END_WRITES, "closed_by": f"'{Source.WORKER}'"},
    # A run with children takes its outcome from theirs, also where they ended first.
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NO_CHILDREN),
)

_FINISH_LEAVES = (appended(told_of(FINISH)), RETURNED)

_DECLINE = Move(
    arrow=DECLINE,
    columns=END_COLUMNS,
    writes={**END_WRITES, "closed_by": f"'{Source.WORKER}'"},
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED),
)

_CANCEL = Move(
    arrow=CANCEL_ATTEMPT,
    columns=END_COLUMNS,
    writes={**END_WRITES, "closed_by": f"'{Source.WORKER}'"},
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED, "cancel_requested_at IS NOT NULL"),
)

_BRIDGE_ATTEMPT = Move(
    arrow=BRIDGE_ATTEMPT,
    columns=END_COLUMNS,
    writes={
        **END_WRITES,
        "closed_by": f"'{Source.BRIDGE}'",
        "reconciliation": "item_reconciliation",
    },
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED),
)

_BRIDGE_DELIVERY = Move(
    arrow=BRIDGE_DELIVERY,
    columns={
        "run_id": "text",
        "dispatch": "integer",
        "worker_id": "text",
        "reason": "text",
        "reconciliation": "text",
    },
    writes={
        "outcome": f"'{Outcome.FAILED}'",
        "reason": "item_reason",
        "closed_by": f"'{Source.BRIDGE}'",
        "reconciliation": "item_reconciliation",
    },
    # Another worker may have begun with it: what this one was given is a duplicate.
    guards=(SAME_DISPATCH, MAY_HOLD),
)


class Ending:
    """The current attempt's report ends its run; any other is a late result."""

    ledger: Ledger

    def finish(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        """Record attempts that returned; what became of each report.

        A run with open children ends with the last of them.
        """
        items = [end_item(end) for end in ends]
        with self.ledger.transaction():
            moved = moves.apply(
                self.ledger, FINISH_MOVE, items, by=Source.WORKER, leaves=_FINISH_LEAVES
            )
            measure_endings(self.ledger, ((row["operation"], row["outcome"]) for row in moved))
            recorded = {RunId(row["id"]): Recorded.MOVED for row in moved}
            recorded.update(self._hand_over([end for end in ends if end.run_id not in recorded]))
            recorded.update(self._late([end for end in ends if end.run_id not in recorded]))
        return recorded

    def decline(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        """Record attempts that found, before they had any effect, that they may not go on."""
        return self._end(_DECLINE, ends, by=Source.WORKER)

    def cancelled(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        """Record attempts that were asked to stop and did."""
        return self._end(_CANCEL, ends, by=Source.WORKER)

    def fail(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        """Carry the queue's failure of current attempts onto their runs."""
        return self._end(_BRIDGE_ATTEMPT, ends, by=Source.BRIDGE)

    def reject(self, rejections: Sequence[Rejection]) -> list[RunId]:
        """Carry the queue's failure of deliveries that never started; the runs that were closed."""
        items = [
            {
                "run_id": rejection.run_id,
                "dispatch": rejection.dispatch,
                "worker_id": rejection.worker_id,
                "reason": rejection.reason,
                "reconciliation": bridged(rejection.reason, rejection.diagnostics),
            }
            for rejection in rejections
        ]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, _BRIDGE_DELIVERY, items, by=Source.BRIDGE)
        return [RunId(row["id"]) for row in moved]

    def reject_message(
        self, *, message_queue: str, message_ref: str, reason: Reason, worker_id: WorkerId | None
    ) -> None:
        """Carry onto its run that the queue delivered a message which names none."""
        param = self.ledger.dialect.param
        with self.ledger.session():
            rows = self.ledger.execute(
                "SELECT id, dispatch FROM lastword_run WHERE completed_at IS NULL "
                f"AND message_queue = {param} AND message_ref = {param}",
                message_queue,
                message_ref,
            )
        self.reject(
            [
                Rejection(RunId(row["id"]), row["dispatch"], reason, worker_id=worker_id)
                for row in rows
            ]
        )

    def _end(self, move: Move, ends: Sequence[AttemptEnd], *, by: Source) -> dict[RunId, Recorded]:
        items = [ended_item(end) for end in ends]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, move, items, by=by)
            end_attempts(self.ledger, moved, items)
            recorded = {RunId(row["id"]): Recorded.MOVED for row in moved}
            recorded.update(self._late([end for end in ends if end.run_id not in recorded]))
        return recorded

    def _hand_over(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        # The attempt is over; from here on its run belongs to its children.
        if not ends:
            return {}
        ledger, items = self.ledger, [ended_item(end) for end in ends]
        guards = (f"status = '{Status.RUNNING}'", SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED)
        rows = ledger.execute(
            "UPDATE lastword_run SET returned_at = {now}, returned_outcome = item_outcome, "
            f"stale_at = {WAITS_UNTIL}, changed_at = {{now}}, "
            f"{', '.join(f'{column} = {value}' for column, value in FACTS.items())} "
            f"FROM {ledger.dialect.batch(END_COLUMNS)} AS item "
            f"WHERE id = item_run_id AND {moves.looked_up_by_id(guards)} "
            f"RETURNING {moves.RETURNED}, children, children_open, children_succeeded, "
            "summary_counts, failures".replace("{now}", ledger.dialect.now_ms),
            as_batch(items),
        )
        end_attempts(ledger, rows, items)
        write_events(ledger, [_waiting_event(row) for row in rows])
        # The last child may have ended before this attempt returned.
        gathered = moves.gather(ledger, [row for row in rows if row["children_open"] == 0])
        return {
            **{RunId(row["id"]): Recorded.WAITING for row in rows},
            **{RunId(row["id"]): Recorded.MOVED for row in gathered},
        }

    def _late(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        run_ids = [end.run_id for end in ends]
        # An event must not outlive its run, which retention may be about to remove.
        self.ledger.keep_runs(run_ids)
        rows = moves.read_runs(self.ledger, run_ids)
        recorded = {
            end.run_id: Recorded.ALREADY if _is_recorded(end, row) else Recorded.LATE
            for end in ends
            if (row := rows.get(end.run_id))
        }
        late = [end for end in ends if recorded.get(end.run_id) is Recorded.LATE]
        write_late_results(self.ledger, [_late_event(end, rows[end.run_id]) for end in late])
        return recorded


def _is_recorded(end: AttemptEnd, row: Row) -> bool:
    if (row["attempt"], row["worker_id"]) != (end.attempt, end.worker_id):
        return False
    if row["returned_at"] is not None:
        return True
    return (
        row["status"] == Status.COMPLETED
        and row["closed_by"] in {Source.WORKER, Source.BRIDGE}
        and row["outcome"] == end.outcome
    )


def _waiting_event(row: Row) -> dict[str, Any]:
    return {
        "run_id": row["id"],
        "at": row["changed_at"],
        "kind": EventKind.AWAITING_CHILDREN,
        "source": Source.WORKER,
        "attempt": row["attempt"],
        "worker_id": row["worker_id"],
        "outcome": Outcome.PENDING,
        "reason": None,
        "terminal": 0,
        "detail": as_json({"children": row["children"], "open": row["children_open"]}),
    }


def _late_event(end: AttemptEnd, row: Row) -> dict[str, Any]:
    return {
        "run_id": end.run_id,
        "operation": row["operation"],
        "at": row["now"],
        "kind": EventKind.LATE_RESULT,
        "source": Source.WORKER,
        "attempt": end.attempt,
        "worker_id": end.worker_id,
        "outcome": end.outcome,
        "reason": end.reason,
        "terminal": 0,
        "detail": as_json({"run_stood_at": row["status"], "current_attempt": row["attempt"]}),
    }
