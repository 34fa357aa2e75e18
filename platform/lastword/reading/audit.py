"""The audit log as people read it: newest first, in the scope of the reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lastword.reading.run_filters import in_scope
from lastword.reading.viewers import Scope
from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso

#: Entries that are read at a time.
PAGE = 100

_COLUMNS = (
    "id, at, actor_kind, actor_id, actor_name, action, result, reason, target_kind, target_id, "
    "workspace_id, tenant_id, run_id, request_id, before, after"
)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; None means: any.

    Attributes:
        scopes: what the reader may see of the log; None: everything.
        own_id: the reader, who sees what they did themselves wherever it was; None: nobody.
        before: the id of the last entry of the page before this one.
    """

    scopes: tuple[Scope, ...] | None = None
    own_id: str | None = None
    action: str | None = None
    actor_kind: str | None = None
    actor_id: str | None = None
    result: str | None = None
    tenant_id: str | None = None
    run_id: str | None = None
    before: int | None = None
    limit: int = PAGE


def list_audit(ledger: Ledger, wanted: AuditFilter) -> list[Row]:
    """The newest entries that fit, newest first."""
    condition, values = _condition(ledger, wanted)
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_COLUMNS} FROM lastword_audit WHERE {condition} "
            f"ORDER BY id DESC LIMIT {int(wanted.limit)}",
            *values,
        )
    return [_readable(row) for row in rows]


def find_audit(ledger: Ledger, entry_id: int, wanted: AuditFilter) -> Row | None:
    """One entry; None if there is none, or not for this reader."""
    condition, values = _condition(ledger, wanted)
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {_COLUMNS} FROM lastword_audit "
            f"WHERE id = {ledger.dialect.param} AND {condition}",
            entry_id,
            *values,
        )
    return _readable(rows[0]) if rows else None


def walk_audit(ledger: Ledger, wanted: AuditFilter) -> Iterator[Sequence[Row]]:
    """Every entry that fits, newest first, a page at a time."""
    while page := list_audit(ledger, wanted):
        yield page
        wanted = replace(wanted, before=page[-1]["id"])


def _condition(ledger: Ledger, wanted: AuditFilter) -> tuple[str, list[object]]:
    param = ledger.dialect.param
    visible, values = in_scope(ledger.dialect, wanted.scopes)
    if wanted.own_id is not None:
        visible = f"({visible} OR actor_id = {param})"
        values = [*values, wanted.own_id]
    conditions = [visible]
    for name in ("action", "actor_kind", "actor_id", "result", "tenant_id", "run_id"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(f"{name} = {param}")
            values.append(value)
    if wanted.before is not None:
        conditions.append(f"id < {param}")
        values.append(wanted.before)
    return " AND ".join(conditions), values


def _readable(row: Row) -> Row:
    return {
        **row,
        "at": to_iso(row["at"]),
        "before": json.loads(row["before"]) if row["before"] else None,
        "after": json.loads(row["after"]) if row["after"] else None,
    }
