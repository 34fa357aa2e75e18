"""Runs as people and programs read them: lists with filters and keyset paging, and one in full."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from peewee import Field

from lastword.errors import UnknownRun
from lastword.reading.freshness import freshness_sql, problem_class_sql, reconciled_sql
from lastword.reading.run_filters import RunFilter as RunFilter
from lastword.reading.run_filters import in_scope, selection
from lastword.reading.viewers import Scope
from lastword.service.children import children_counts
from lastword.storage.dialects import Dialect
from lastword.storage.ledger import Ledger, Row
from lastword.storage.tables import Attempt, Event, Run
from lastword.times import to_iso

#: The most runs one list holds.
MAX_LIMIT = 1000

_MOMENTS = ("created_at", "available_at", "started_at", "completed_at")

_STATUS = (
    Run.id,
    Run.status,
    Run.outcome,
    Run.reason,
    Run.attempt,
    Run.worker_id,
    Run.summary_counts,
    Run.cancel_requested_at,
    Run.created_at,
    Run.completed_at,
)

_ATTEMPT = (
    Attempt.number,
    Attempt.worker_id,
    Attempt.started_at,
    Attempt.ended_at,
    Attempt.ending,
    Attempt.reason,
    Attempt.diagnostics,
)

_EVENT = (
    Event.at,
    Event.kind,
    Event.source,
    Event.attempt,
    Event.worker_id,
    Event.outcome,
    Event.reason,
    Event.detail,
)

_LISTED = (
    "id, operation, status, outcome, reason, workspace_id, tenant_id, initiator_name, created_at, "
    "available_at, started_at, completed_at, attempt, summary_counts, children, children_open, "
    "children_succeeded"
)


def list_runs(ledger: Ledger, wanted: RunFilter, *, labels: Mapping[str, str]) -> list[Row]:
    """The newest runs that fit, newest first.

    Args:
        ledger: where they are.
        wanted: which.
        labels: operation to the label people read.
    """
    limit = min(wanted.limit, MAX_LIMIT)
    chosen, values = selection(ledger.dialect, wanted, limit=limit)
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_LISTED}, {_derived(ledger.dialect)} FROM lastword_run "
            f"WHERE id IN ({chosen}) ORDER BY created_at DESC, id DESC LIMIT {limit}",
            *values,
        )
    return [_listed(row, labels) for row in rows]


def count_runs(ledger: Ledger, wanted: RunFilter, *, at_most: int) -> int:
    """How many runs fit, counted no further than `at_most`."""
    chosen, values = selection(ledger.dialect, wanted, limit=at_most)
    with ledger.session():
        [row] = ledger.execute(f"SELECT COUNT(*) AS runs FROM ({chosen}) AS chosen", *values)
    return min(int(row["runs"]), at_most)


def show_run(
    ledger: Ledger,
    run_id: str,
    *,
    labels: Mapping[str, str],
    scopes: Sequence[Scope] | None = None,
) -> Row:
    """One run with its reconciliation, evidence, attempts, failures, context and events.

    Args:
        ledger: where it is.
        run_id: which.
        labels: operation to the label people read.
        scopes: what the reader may see; None: everything.

    Raises:
        UnknownRun: there is no such run for this reader.
    """
    param = ledger.dialect.param
    visible, places = in_scope(ledger.dialect, scopes)
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_LISTED}, reconciliation, evidence, failures, context, closed_by, dispatch, "
            "lost_deliveries, retries, worker_id, stale_at, wait_until, policy_version, holder, "
            "probation, cancel_requested_at, cancel_requested_by, retry_of, parent_id, "
            f"initiator_id, actor_name, {_derived(ledger.dialect)} "
            f"FROM lastword_run WHERE id = {param} AND {visible}",
            run_id,
            *places,
        )
        if not rows:
            raise UnknownRun(f"no run {run_id!r}", mend="see `lastword runs list`")
        attempts = _rows_of(ledger, Attempt, _ATTEMPT, run_id, order=Attempt.number)
        events = _rows_of(ledger, Event, _EVENT, run_id, order=Event.id)
    return _shown(rows[0], attempts, events, labels)


def run_stamp(ledger: Ledger, run_id: str, *, scopes: Sequence[Scope] | None) -> str:
    """A text that is another one whenever a run has changed: its moves, its counts, its freshness.

    Raises:
        UnknownRun: there is no such run for this reader.
    """
    visible, places = in_scope(ledger.dialect, scopes)
    with ledger.session():
        rows = ledger.execute(
            f"SELECT changed_at, dispatch, holder, summary_counts, cancel_requested_at, "
            f"{freshness_sql(ledger.dialect)} AS freshness FROM lastword_run "
            f"WHERE id = {ledger.dialect.param} AND {visible}",
            run_id,
            *places,
        )
    if not rows:
        raise UnknownRun(f"no run {run_id!r}")
    text = json.dumps(list(rows[0].values()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_status(ledger: Ledger, run_ids: Sequence[str]) -> dict[str, Row]:
    """Status, outcome, reason and attempt of some runs, by id."""
    query = Run.select(*_STATUS).where(Run.id.in_(list(run_ids))).dicts()
    with ledger.session():
        return {row["id"]: row for row in query.execute(ledger.database)}


def _rows_of(
    ledger: Ledger,
    table: type[Attempt] | type[Event],
    columns: Sequence[Field],
    run_id: str,
    *,
    order: Field,
) -> list[Row]:
    query = table.select(*columns).where(table.run_id == run_id).order_by(order).dicts()
    return list(query.execute(ledger.database))


def _derived(dialect: Dialect) -> str:
    return (
        f"{freshness_sql(dialect)} AS freshness_state, "
        f"{problem_class_sql(dialect)} AS problem_class, {reconciled_sql()} AS reconciled, "
        # A scalar, because a join would make the names of columns ambiguous.
        "(SELECT name FROM lastword_tenant WHERE lastword_tenant.id = tenant_id) AS tenant_name"
    )


def _listed(row: Row, labels: Mapping[str, str]) -> Row:
    return {
        "id": row["id"],
        "type": row["operation"],
        "type_label": labels.get(row["operation"], "Unknown operation"),
        "status": row["status"],
        "outcome": row["outcome"],
        "freshness_state": row["freshness_state"],
        "problem_class": row["problem_class"],
        "reconciled": bool(row["reconciled"]),
        "reason_code": row["reason"],
        "workspace_id": row["workspace_id"],
        "tenant_id": row["tenant_id"],
        "tenant_name": row["tenant_name"],
        "initiator": row["initiator_name"],
        **{name: to_iso(row[name]) for name in _MOMENTS},
        "attempt": row["attempt"],
        "summary_counts": {**children_counts(row), **json.loads(row["summary_counts"])},
        "url": f"/admin/operations/{row['id']}",
    }


def _shown(
    row: Row, attempts: Sequence[Row], events: Sequence[Row], labels: Mapping[str, str]
) -> Row:
    return {
        **_listed(row, labels),
        "initiator_id": row["initiator_id"],
        "actor_name": row["actor_name"],
        "reconciliation": _json(row["reconciliation"]),
        "evidence": {
            "last_seen": _json(row["evidence"]),
            "worker_id": row["worker_id"],
            "dispatch": row["dispatch"],
            "holder": row["holder"],
            "on_probation": bool(row["probation"]),
            "cancel_requested_at": to_iso(row["cancel_requested_at"]),
            "cancel_requested_by": row["cancel_requested_by"],
            "retry_of": row["retry_of"],
            "parent_id": row["parent_id"],
            "children_open": row["children_open"],
            "lost_deliveries": row["lost_deliveries"],
            "retries": row["retries"],
            "next_verdict_at": to_iso(row["stale_at"]),
            "wait_until": to_iso(row["wait_until"]),
            "policy_version": row["policy_version"],
            "closed_by": row["closed_by"],
        },
        "attempts": [_moments(attempt) for attempt in attempts],
        "failures": _json(row["failures"]),
        "context": _json(row["context"]),
        "events": [_moments(event) for event in events],
    }


def _moments(row: Row) -> Row:
    return {
        name: to_iso(value) if name in {"at", "started_at", "ended_at"} else value
        for name, value in row.items()
    }


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
