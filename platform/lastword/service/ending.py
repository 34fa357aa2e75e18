"""The verbs that end a run on behalf of its attempt, or of the queue that gave up on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastword.identity import RunId
from lastword.reasons import SENTENCES, Reason
from lastword.service import moves
from lastword.service.attempts import end_attempts
from lastword.service.moves import SAME_ATTEMPT, SAME_DISPATCH, SAME_WORKER, Move
from lastword.service.values import AttemptEnd, Recorded, Rejection
from lastword.states import (
    BRIDGE_ATTEMPT,
    BRIDGE_DELIVERY,
    FINISH,
    EventKind,
    Outcome,
    Source,
    Status,
)
from lastword.storage.ledger import Ledger, Row, as_json

_END_COLUMNS: Mapping[str, Any] = {
    "run_id": "text",
    "attempt": "integer",
    "worker_id": "text",
    "outcome": "text",
    "reason": "text",
    "summary_counts": "text",
    "failures": "text",
    "context": "text",
    "reconciliation": "text",
}

_END_WRITES = {
    "outcome": "item_outcome",
    "reason": "item_reason",
    "summary_counts": "item_summary_counts",
    "failures": "item_failures",
    "context": "item_context",
}

_FINISH = Move(
    arrow=FINISH,
    columns=_END_COLUMNS,
    writes={**_END_WRITES, "closed_by": f"'{Source.WORKER}'"},
    guards=(SAME_ATTEMPT, SAME_WORKER),
)

_BRIDGE_ATTEMPT = Move(
    arrow=BRIDGE_ATTEMPT,
    columns=_END_COLUMNS,
    writes={
        **_END_WRITES,
        "closed_by": f"'{Source.BRIDGE}'",
        "reconciliation": "item_reconciliation",
    },
    guards=(SAME_ATTEMPT, SAME_WORKER),
)

_BRIDGE_DELIVERY = Move(
    arrow=BRIDGE_DELIVERY,
    columns={
        "run_id": "text",
        "dispatch": "integer",
        "reason": "text",
        "reconciliation": "text",
    },
    writes={
        "outcome": f"'{Outcome.FAILED}'",
        "reason": "item_reason",
        "closed_by": f"'{Source.BRIDGE}'",
        "reconciliation": "item_reconciliation",
    },
    guards=(SAME_DISPATCH,),
)


class Ending:
    """The current attempt's report ends its run; any other is a late result."""

    ledger: Ledger

    def finish(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        """Record attempts that returned; what became of each report."""
        return self._end(_FINISH, ends, by=Source.WORKER)

    def fail(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        """Carry the queue's failure of current attempts onto their runs."""
        return self._end(_BRIDGE_ATTEMPT, ends, by=Source.BRIDGE)

    def reject(self, rejections: Sequence[Rejection]) -> list[RunId]:
        """Carry the queue's failure of deliveries that never started; the runs that were closed."""
        items = [
            {
                "run_id": rejection.run_id,
                "dispatch": rejection.dispatch,
                "reason": rejection.reason,
                "reconciliation": _bridged(rejection.reason, rejection.diagnostics),
            }
            for rejection in rejections
        ]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, _BRIDGE_DELIVERY, items, by=Source.BRIDGE)
        return [RunId(row["id"]) for row in moved]

    def _end(self, move: Move, ends: Sequence[AttemptEnd], *, by: Source) -> dict[RunId, Recorded]:
        items = [_end_item(end) for end in ends]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, move, items, by=by)
            end_attempts(self.ledger, moved, items)
            recorded = {RunId(row["id"]): Recorded.MOVED for row in moved}
            recorded.update(self._late([end for end in ends if end.run_id not in recorded]))
        return recorded

    def _late(self, ends: Sequence[AttemptEnd]) -> dict[RunId, Recorded]:
        rows = moves.read_runs(self.ledger, [end.run_id for end in ends])
        recorded = {
            end.run_id: Recorded.ALREADY if _is_recorded(end, row) else Recorded.LATE
            for end in ends
            if (row := rows.get(end.run_id))
        }
        late = [end for end in ends if recorded.get(end.run_id) is Recorded.LATE]
        moves.write_events(self.ledger, [_late_event(end, rows[end.run_id]) for end in late])
        for end in late:
            moves.log_late_result(
                end.run_id, rows[end.run_id]["operation"], end.attempt, end.outcome
            )
        return recorded


def _end_item(end: AttemptEnd) -> dict[str, Any]:
    bridged = end.outcome is Outcome.FAILED and end.reason is not None
    return {
        "run_id": end.run_id,
        "attempt": end.attempt,
        "worker_id": end.worker_id,
        "outcome": end.outcome,
        "reason": end.reason,
        "summary_counts": as_json(end.counts),
        "failures": as_json(list(end.failures)),
        "context": as_json(end.context),
        "reconciliation": _bridged(end.reason) if bridged and end.reason else None,
        "ending": end.outcome,
        "diagnostics": end.diagnostics,
    }


def _bridged(reason: Reason, evidence: str = "") -> str:
    return as_json(
        {
            "kind": "bridged",
            "source": Source.BRIDGE,
            "reason": reason,
            "sentence": SENTENCES[reason],
            "evidence": {"queue": evidence} if evidence else {},
        }
    )


def _is_recorded(end: AttemptEnd, row: Row) -> bool:
    return (
        row["status"] == Status.COMPLETED
        and row["closed_by"] in {Source.WORKER, Source.BRIDGE}
        and row["outcome"] == end.outcome
        and (row["attempt"], row["worker_id"]) == (end.attempt, end.worker_id)
    )


def _late_event(end: AttemptEnd, row: Row) -> dict[str, Any]:
    return {
        "run_id": end.run_id,
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
