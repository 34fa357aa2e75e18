"""The one guarded move: every transition of every run is this statement and its events.

A move updates those of its runs that still are where the caller saw them, in one statement, and
writes one event for each in the same transaction. "No row moved" is a normal answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lastword.logs import log_transitions
from lastword.service.audit import RECONCILER_ACTORS, Entry, write_audit
from lastword.service.children import HAS_RETURNED, NO_CHILD_IS_OPEN, count_off, gathered
from lastword.service.events import event_of, lines_of, write_events
from lastword.service.leases import HOLDER_IS_GONE
from lastword.service.metering import measure_moves
from lastword.service.notifying import notify_of_ends
from lastword.states import (
    GATHER,
    RECONCILERS,
    TERMINAL,
    Arrow,
    Outcome,
    Source,
    Status,
)
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, Row, as_batch

#: Guards, each over the run's row and the item that wants to move it.
SAME_ATTEMPT = "attempt = item_attempt"
SAME_DISPATCH = "dispatch = item_dispatch"
SAME_WORKER = "worker_id = item_worker_id"
SAME_MESSAGE = "COALESCE(message_ref, '') = COALESCE(item_message_ref, '')"

#: What is recorded of a run that moved.
TOLD = (
    "id, operation, tenant_id, workspace_id, attempt, dispatch, worker_id, outcome, reason, "
    "available_at, changed_at, parent_id, initiator_id, started_at, claimed_at"
)

#: A run's row as a move returns it.
RETURNED = f"{TOLD}, retries, payload, context, retry_of"


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


@dataclass(frozen=True, slots=True)
class Step:
    """Runs that made one transition, to be recorded.

    Attributes:
        arrow: the transition.
        moved: their rows after it.
        told: what the caller said of each, by run: the reason of this transition and its details.
            A run's own `reason` is why it ended, so one that goes on has none.
    """

    arrow: Arrow
    moved: Sequence[Row]
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


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
    ledger: Ledger,
    move: Move,
    items: Sequence[Mapping[str, Any]],
    *,
    by: Source,
    leaves: Sequence[str] = (),
) -> list[Row]:
    """Move those of `items` that may move; the rows that moved. Call inside a transaction.

    Args:
        ledger: where.
        move: what each item is to do.
        items: which runs, and what is written of them.
        by: who moves them.
        leaves: statements that append what this leaves, its events among it; see `write`. Without
            them only the events are written, each with what its item tells.
    """
    if not items:
        return []
    if by not in move.arrow.sources:
        raise ValueError(f"{by} may not draw the arrow {move.arrow.name}")
    ledger.lock_runs([item["run_id"] for item in items])
    changes = statement(ledger, move, move.arrow.origins)
    if leaves:
        moved = write(ledger, changes, items, leaves=leaves, returns=RETURNED)
        account(ledger, [Step(move.arrow, moved)], by=by)
    else:
        moved = ledger.execute(changes, as_batch(items))
        record(ledger, [Step(move.arrow, moved, _told(move, moved, items))], by=by)
    if by in RECONCILERS and len(moved) < len(items):
        ledger.measure("run_transition_conflicts", (move.arrow.name,), len(items) - len(moved))
    if move.arrow.target in TERMINAL:
        gather(ledger, count_off(ledger, moved))
    return moved


def gather(ledger: Ledger, parents: Sequence[Row]) -> list[Row]:
    """End runs that waited for nothing but their children. Call inside a transaction."""
    return apply(ledger, _GATHER, [gathered(row) for row in parents], by=Source.CHILDREN)


def record(ledger: Ledger, steps: Sequence[Step], *, by: Source) -> None:
    """Write the events of runs that moved, and account for them."""
    for step in steps:
        events = [
            event_of(row, step.arrow, by=by, told=step.told.get(row["id"], {}))
            for row in step.moved
        ]
        write_events(ledger, events)
        if by in RECONCILERS:
            write_audit(ledger, RECONCILER_ACTORS[by], _audited(step.moved, step.arrow, events))
    account(ledger, steps, by=by)


def account(ledger: Ledger, steps: Sequence[Step], *, by: Source) -> None:
    """Measure runs that moved, tell whom it concerns, and write their log lines once it is durable.

    Their events are written.
    """
    for step in steps:
        measure_moves(ledger, step.arrow, step.moved, by=by, told=step.told)
        if step.arrow.target in TERMINAL:
            notify_of_ends(ledger, step.moved)
    ledger.after_commit(
        lambda: log_transitions(
            [line for step in steps for line in lines_of(step.moved, step.arrow, step.told, by)]
        )
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


def statement(
    ledger: Ledger, move: Move, origins: Collection[Status], *, returns: str = RETURNED
) -> str:
    """The one statement that makes a move, of runs that are in one of `origins`."""
    now = ledger.dialect.now_ms
    arrow = move.arrow
    writes = {"status": f"'{arrow.target}'", "changed_at": now, **move.writes}
    if arrow.target in TERMINAL:
        writes.update(
            completed_at=now, stale_at="NULL", wait_until="NULL", holder="NULL", held_at="NULL"
        )
    assignments = ", ".join(f"{column} = {value}" for column, value in writes.items())
    from_these = ", ".join(f"'{status}'" for status in sorted(origins))
    guards = [f"status IN ({from_these})", *move.guards]
    return (
        f"UPDATE lastword_run SET {assignments} "
        f"FROM {ledger.dialect.batch(move.columns)} AS item "
        f"WHERE id = item_run_id AND {looked_up_by_id(guards)} RETURNING {returns}"
    ).replace("{now}", now)


def write(
    ledger: Ledger,
    changes: str,
    items: Sequence[Mapping[str, Any]],
    *,
    leaves: Sequence[str],
    returns: str = TOLD,
) -> list[Row]:
    """Change runs and append what that leaves, made by the database; the rows that were changed.

    Args:
        ledger: where.
        changes: the statement over a batch of items that changes runs, and returns `returns`.
        items: the batch.
        leaves: statements that append rows made from the relation `moved`: the changed runs, with
            the columns of `TOLD`.
        returns: the columns of the answer: these, or more.
    """
    if ledger.dialect.writes_within_with:
        appended = [f"appended_{number} AS ({rows})" for number, rows in enumerate(leaves)]
        relations = ", ".join([f"moved AS ({changes})", *appended])
        return ledger.execute(f"WITH {relations} SELECT {returns} FROM moved", as_batch(items))
    moved = ledger.execute(changes, as_batch(items))
    ids = as_batch([{"run_id": row["id"]} for row in moved])
    these = (
        f"WITH moved AS (SELECT {TOLD} FROM {ledger.dialect.batch({'run_id': 'text'})} "
        "AS item JOIN lastword_run ON id = item_run_id)"
    )
    for rows in leaves:
        ledger.execute(f"{these} {rows}", ids)
    return moved


def looked_up_by_id(guards: Sequence[str]) -> str:
    """A condition that a run which an item names is active and fulfils `guards`.

    Put so that planners make nothing of it. PostgreSQL would begin with the active runs, of which
    it expects one, and compare each of ten thousand with each item: a second for a batch of 500
    instead of 20 ms.
    """
    return f"CASE WHEN completed_at IS NULL AND {' AND '.join(guards)} THEN TRUE ELSE FALSE END"


def _told(
    move: Move, moved: Sequence[Row], items: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    asked = {item["run_id"]: item for item in items}
    return {
        row["id"]: {key: asked[row["id"]].get(key) for key in ("reason", *move.details)}
        for row in moved
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
