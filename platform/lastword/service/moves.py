"""The one guarded move: every transition of every run is this statement and its events.

A move updates those of its runs that still are where the caller saw them, in one statement, and
writes one event for each in the same transaction. "No row moved" is a normal answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lastword.logs import log_transition, log_transitions
from lastword.service.audit import RECONCILER_ACTORS, Entry, write_audit
from lastword.service.children import HAS_RETURNED, NO_CHILD_IS_OPEN, count_off, gathered
from lastword.service.counters import Counted, count
from lastword.service.leases import HOLDER_IS_GONE
from lastword.service.metering import measure_moves
from lastword.service.notifying import notify_of_ends
from lastword.states import GATHER, RECONCILERS, TERMINAL, Arrow, EventKind, Outcome, Source
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

#: Guards, each over the run's row and the item that wants to move it.
SAME_ATTEMPT = "attempt = item_attempt"
SAME_DISPATCH = "dispatch = item_dispatch"
SAME_WORKER = "worker_id = item_worker_id"
SAME_MESSAGE = "COALESCE(message_ref, '') = COALESCE(item_message_ref, '')"

#: A run's row as a move returns it.
RETURNED = (
    "id, operation, tenant_id, workspace_id, attempt, dispatch, retries, worker_id, outcome, "
    "reason, payload, context, available_at, changed_at, parent_id, initiator_id, retry_of, "
    "started_at, claimed_at"
)

_EVENT_COLUMNS: Mapping[str, ColumnType] = {
    "run_id": "text",
    "at": "integer",
    "kind": "text",
    "source": "text",
    "attempt": "integer",
    "worker_id": "text",
    "outcome": "text",
    "reason": "text",
    "terminal": "integer",
    "detail": "text",
}


@dataclass(frozen=True, slots=True)
class Move:
    """An arrow with what it writes and what must still hold.

    Attributes:
        arrow: the transition.
        columns: the columns of the items, by type; always with `run_id`.
        writes: column of the run to SQL expression, over the run's and the item's columns.
        guards: conditions beyond the arrow's origins.
    """

    arrow: Arrow
    columns: Mapping[str, ColumnType]
    writes: Mapping[str, str]
    guards: Sequence[str] = ()
    details: Sequence[str] = field(default=())


_GATHER = Move(
    arrow=GATHER,
    columns={"run_id": "text", "reason": "text", "summary_counts": "text"},
    writes={
        "outcome": "CASE WHEN children_succeeded = children THEN returned_outcome "
        f"WHEN children_succeeded = 0 THEN '{Outcome.FAILED}' "
        f"ELSE '{Outcome.PARTIALLY_SUCCEEDED}' END",
        "reason": "item_reason",
        "summary_counts": "item_summary_counts",
        "closed_by": f"'{Source.CHILDREN}'",
    },
    guards=(HAS_RETURNED, NO_CHILD_IS_OPEN),
)


def apply(
    ledger: Ledger, move: Move, items: Sequence[Mapping[str, Any]], *, by: Source
) -> list[Row]:
    """Move those of `items` that may move; the rows that moved. Call inside a transaction."""
    if not items:
        return []
    if by not in move.arrow.sources:
        raise ValueError(f"{by} may not draw the arrow {move.arrow.name}")
    ledger.lock_runs([item["run_id"] for item in items])
    moved = ledger.execute(_statement(ledger, move), as_batch(items))
    if by in RECONCILERS and len(moved) < len(items):
        ledger.measure("run_transition_conflicts", (move.arrow.name,), len(items) - len(moved))
    asked = {item["run_id"]: item for item in items}
    told = {
        row["id"]: {key: asked[row["id"]].get(key) for key in ("reason", *move.details)}
        for row in moved
    }
    record(ledger, move.arrow, moved, by=by, told=told)
    if move.arrow.target in TERMINAL:
        gather(ledger, count_off(ledger, moved))
    return moved


def gather(ledger: Ledger, parents: Sequence[Row]) -> list[Row]:
    """End runs that waited for nothing but their children. Call inside a transaction."""
    return apply(ledger, _GATHER, [gathered(row) for row in parents], by=Source.CHILDREN)


def record(
    ledger: Ledger,
    arrow: Arrow,
    moved: Sequence[Row],
    *,
    by: Source,
    told: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write the events of runs that moved, and their log lines once that is durable.

    Args:
        ledger: where they are.
        arrow: the transition they made.
        moved: their rows after it.
        by: who moved them.
        told: what the caller said of each, by run: the reason of this transition and its details.
            A run's own `reason` is why it ended, so one that goes on has none.
    """
    told = told or {}
    events = [_event(row, arrow, by=by, told=told.get(row["id"], {})) for row in moved]
    write_events(ledger, events)
    measure_moves(ledger, arrow, moved, by=by, told=told)
    if arrow.target in TERMINAL:
        notify_of_ends(ledger, moved)
    if by in RECONCILERS:
        write_audit(ledger, RECONCILER_ACTORS[by], _audited(moved, arrow, events))
    ledger.after_commit(lambda: log_transitions(_lines(moved, arrow, events)))


def write_events(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Append events; those that were new.

    A late result is kept once per attempt, however often it is reported.
    """
    if not events:
        return []
    names = ", ".join(_EVENT_COLUMNS)
    picked = ", ".join(
        f"item_{name} = 1" if name == "terminal" else f"item_{name}" for name in _EVENT_COLUMNS
    )
    return ledger.execute(
        f"INSERT INTO lastword_event ({names}) "
        f"SELECT {picked} FROM {ledger.dialect.batch(_EVENT_COLUMNS)} AS item "
        f"WHERE item_kind <> '{EventKind.LATE_RESULT}' OR NOT EXISTS ("
        f"SELECT 1 FROM lastword_event WHERE kind = '{EventKind.LATE_RESULT}' "
        f"AND run_id = item_run_id AND attempt = item_attempt) "
        f"RETURNING run_id, attempt, outcome",
        as_batch(events),
    )


def read_runs(ledger: Ledger, run_ids: Sequence[str]) -> dict[str, Row]:
    """Runs as they stand, with `now`, for a verb that has to say why it did not move them."""
    if not run_ids:
        return {}
    now = ledger.dialect.now_ms
    rows = ledger.execute(
        f"SELECT status, closed_by, {RETURNED}, holder, returned_at, "
        "CASE WHEN completed_at IS NULL THEN cancel_requested_at END AS cancel_requested_at, "
        f"NOT {HOLDER_IS_GONE.replace('{now}', now)} AS holder_is_live, {now} AS now "
        "FROM lastword_run "
        f"JOIN {ledger.dialect.batch({'run_id': 'text'})} AS item ON id = item_run_id",
        as_batch([{"run_id": run_id} for run_id in run_ids]),
    )
    return {row["id"]: row for row in rows}


def write_late_results(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> None:
    """Keep results that came too late to count: one event and one count for each attempt.

    Args:
        ledger: where.
        events: of kind `late_result`; each with its run's `operation` beside the columns.
    """
    for event in write_events(ledger, events):
        operation = next(item["operation"] for item in events if item["run_id"] == event["run_id"])
        count(ledger, Counted.LATE_RESULTS, operation)
        ledger.after_commit(
            partial(
                log_transition,
                EventKind.LATE_RESULT,
                run=event["run_id"],
                operation=operation,
                attempt=event["attempt"],
                outcome=event["outcome"],
            )
        )


def _statement(ledger: Ledger, move: Move) -> str:
    now = ledger.dialect.now_ms
    arrow = move.arrow
    writes = {"status": f"'{arrow.target}'", "changed_at": now, **move.writes}
    if arrow.target in TERMINAL:
        writes.update(
            completed_at=now, stale_at="NULL", wait_until="NULL", holder="NULL", held_at="NULL"
        )
    assignments = ", ".join(f"{column} = {value}" for column, value in writes.items())
    origins = ", ".join(f"'{status}'" for status in sorted(arrow.origins))
    guards = [f"status IN ({origins})", *move.guards]
    return (
        f"UPDATE lastword_run SET {assignments} "
        f"FROM {ledger.dialect.batch(move.columns)} AS item "
        f"WHERE id = item_run_id AND {looked_up_by_id(guards)} RETURNING {RETURNED}"
    ).replace("{now}", now)


def looked_up_by_id(guards: Sequence[str]) -> str:
    """A condition that a run which an item names is active and fulfils `guards`.

    Put so that planners make nothing of it. PostgreSQL would begin with the active runs, of which
    it expects one, and compare each of ten thousand with each item: a second for a batch of 500
    instead of 20 ms.
    """
    return f"CASE WHEN completed_at IS NULL AND {' AND '.join(guards)} THEN TRUE ELSE FALSE END"


def _event(row: Row, arrow: Arrow, *, by: Source, told: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in told.items() if key != "reason" and value is not None}
    return {
        "run_id": row["id"],
        "at": row["changed_at"],
        "kind": arrow.kind,
        "source": by,
        "attempt": row["attempt"],
        "worker_id": row["worker_id"],
        "outcome": row["outcome"],
        "reason": row["reason"] or told.get("reason"),
        "terminal": int(arrow.target in TERMINAL),
        "detail": as_json(kept) if kept else None,
    }


def _audited(
    moved: Sequence[Row], arrow: Arrow, events: Sequence[Mapping[str, Any]]
) -> list[Entry]:
    return [
        Entry(
            action="run.close" if arrow.target in TERMINAL else "run.redispatch",
            target_kind="run",
            target_id=row["id"],
            reason=event["reason"],
            workspace_id=row["workspace_id"],
            tenant_id=row["tenant_id"],
            run_id=row["id"],
            before={"status": " or ".join(sorted(arrow.origins)), "attempt": row["attempt"]},
            after={"status": arrow.target, "outcome": row["outcome"]},
        )
        for row, event in zip(moved, events, strict=True)
    ]


def _lines(
    moved: Sequence[Row], arrow: Arrow, events: Sequence[Mapping[str, Any]]
) -> list[dict[str, object]]:
    return [
        {
            "event": arrow.kind,
            "run": row["id"],
            "operation": row["operation"],
            "attempt": row["attempt"],
            "worker": row["worker_id"],
            "outcome": row["outcome"] if arrow.target in TERMINAL else None,
            "reason": event["reason"],
            "source": event["source"],
        }
        for row, event in zip(moved, events, strict=True)
    ]
