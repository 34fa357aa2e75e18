"""The verbs of operators: cancel what waits, ask what works to stop."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from lastword.identity import RunId
from lastword.reasons import Reason
from lastword.service import moves
from lastword.service.audit import Actor, ActorKind, Entry, write_audit
from lastword.service.children import HAS_RETURNED
from lastword.service.events import write_events
from lastword.service.moves import Move
from lastword.service.reserving import NOT_IN_HAND
from lastword.states import (
    CANCEL_QUEUED,
    CANCEL_WAITING,
    Arrow,
    EventKind,
    Outcome,
    Source,
    Status,
)
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

_WRITES = {
    "outcome": f"'{Outcome.CANCELLED}'",
    "reason": f"'{Reason.CANCELLED_BY_OPERATOR}'",
    "closed_by": f"'{Source.OPERATOR}'",
}


def _cancel(arrow: Arrow, guard: str) -> Move:
    return Move(arrow=arrow, columns={"run_id": "text"}, writes=_WRITES, guards=(guard,))


_CANCEL_QUEUED = _cancel(CANCEL_QUEUED, NOT_IN_HAND)
_CANCEL_WAITING = _cancel(CANCEL_WAITING, HAS_RETURNED)


class Cancelled(StrEnum):
    """What became of a request to cancel a run."""

    #: The run is ended.
    CANCELLED = "cancelled"
    #: A worker has it in hand and was asked to stop; the run ends with its attempt.
    REQUESTED = "requested"


class Cancelling:
    """A run that nobody works on is cancelled at once; one that is worked on is asked to stop."""

    ledger: Ledger

    def cancel(
        self,
        run_ids: Sequence[RunId],
        *,
        by: str,
        actor: Actor | None = None,
        because: str | None = None,
    ) -> dict[RunId, Cancelled]:
        """Cancel runs; what became of each. One that is missing is completed, or not there.

        Args:
            run_ids: which.
            by: who asks, as people read it.
            actor: the same for the audit log; the system in that name if None.
            because: why, in the asker's own words.
        """
        items = [{"run_id": run_id} for run_id in run_ids]
        with self.ledger.transaction():
            ended = moves.apply(self.ledger, _CANCEL_QUEUED, items, by=Source.OPERATOR)
            waiting = moves.apply(self.ledger, _CANCEL_WAITING, items, by=Source.OPERATOR)
            ended = [*ended, *waiting]
            asked = self._ask([item for item in run_ids if item not in _ids(ended)], by=by)
            entries = [_entry(row, Cancelled.CANCELLED, because) for row in ended]
            entries += [_entry(row, Cancelled.REQUESTED, because) for row in asked]
            write_audit(self.ledger, actor or Actor(ActorKind.SYSTEM, by), entries)
        return {
            **{RunId(row["id"]): Cancelled.CANCELLED for row in ended},
            **{RunId(row["id"]): Cancelled.REQUESTED for row in asked},
        }

    def is_asked_to_stop(self, run_id: RunId) -> bool:
        """Whether an active run was asked to stop."""
        with self.ledger.session():
            row = moves.read_runs(self.ledger, [run_id]).get(run_id)
        return bool(row and row["cancel_requested_at"] is not None)

    def _ask(self, run_ids: Sequence[RunId], *, by: str) -> list[Row]:
        if not run_ids:
            return []
        ledger = self.ledger
        source = ledger.dialect.batch({"run_id": "text", "by": "text"})
        ledger.lock_runs(run_ids)
        rows = ledger.execute(
            f"UPDATE lastword_run SET cancel_requested_at = {ledger.dialect.now_ms}, "
            f"cancel_requested_by = item_by FROM {source} AS item WHERE id = item_run_id "
            f"AND completed_at IS NULL AND (status = '{Status.RUNNING}' OR holder IS NOT NULL) "
            f"AND cancel_requested_at IS NULL "
            f"RETURNING {moves.RETURNED}, {ledger.dialect.now_ms} AS now",
            as_batch([{"run_id": run_id, "by": by} for run_id in run_ids]),
        )
        write_events(ledger, [_request_event(row, by) for row in rows])
        known = _ids(rows)
        # Asked before: the answer is the same.
        again = moves.read_runs(ledger, [item for item in run_ids if item not in known])
        return [*rows, *(row for row in again.values() if row["cancel_requested_at"])]


def _ids(rows: Sequence[Row]) -> set[str]:
    return {row["id"] for row in rows}


def _entry(row: Row, became: Cancelled, because: str | None) -> Entry:
    return Entry(
        action="run.cancel",
        target_kind="run",
        target_id=row["id"],
        workspace_id=row["workspace_id"],
        tenant_id=row["tenant_id"],
        run_id=row["id"],
        after={"result": became, **({"because": because} if because else {})},
    )


def _request_event(row: Row, by: str) -> dict[str, object]:
    return {
        "run_id": row["id"],
        "at": row["now"],
        "kind": EventKind.CANCEL_REQUESTED,
        "source": Source.OPERATOR,
        "attempt": row["attempt"],
        "worker_id": row["worker_id"],
        "outcome": Outcome.PENDING,
        "reason": None,
        "terminal": 0,
        "detail": as_json({"by": by}),
    }
