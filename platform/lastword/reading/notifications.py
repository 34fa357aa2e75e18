"""What a person is told: which of the runs they started have ended, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lastword.reading.run_filters import in_scope
from lastword.reading.viewers import Scope
from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso

#: Unread notifications that are counted at most.
MOST_UNREAD = 100


def unread_of(
    ledger: Ledger, user_id: str, *, scopes: Sequence[Scope], at_most: int
) -> tuple[str, list[object]]:
    """A query for how many notifications a person has not read, of runs that they may see."""
    visible, places = in_scope(ledger.dialect, scopes)
    query = (
        "SELECT COUNT(*) FROM (SELECT 1 FROM lastword_notification AS note "
        "JOIN lastword_run ON lastword_run.id = note.run_id "
        f"WHERE note.user_id = {ledger.dialect.param} AND note.read_at IS NULL AND {visible} "
        f"LIMIT {int(at_most)}) AS unread"
    )
    return query, [user_id, *places]


def count_unread(
    ledger: Ledger, user_id: str, *, scopes: Sequence[Scope], at_most: int = MOST_UNREAD
) -> int:
    """How many notifications a person has not read, counted no further than `at_most`."""
    query, values = unread_of(ledger, user_id, scopes=scopes, at_most=at_most)
    with ledger.session():
        [row] = ledger.execute(f"SELECT ({query}) AS unread", *values)
    return int(row["unread"])


def list_notifications(
    ledger: Ledger,
    user_id: str,
    *,
    scopes: Sequence[Scope],
    labels: Mapping[str, str],
    limit: int = 100,
) -> list[Row]:
    """The latest notifications of a person, of runs that they still may see."""
    visible, places = in_scope(ledger.dialect, scopes)
    with ledger.session():
        rows = ledger.execute(
            "SELECT id, operation, outcome, reason, tenant_id, closed_by, note.at, note.read_at "
            "FROM lastword_notification AS note "
            "JOIN lastword_run ON lastword_run.id = note.run_id "
            f"WHERE note.user_id = {ledger.dialect.param} AND {visible} "
            f"ORDER BY note.at DESC, id DESC LIMIT {int(limit)}",
            user_id,
            *places,
        )
    return [
        {
            "run_id": row["id"],
            "type_label": labels.get(row["operation"], "Unknown operation"),
            "outcome": row["outcome"],
            "reason_code": row["reason"],
            "tenant_id": row["tenant_id"],
            "closed_by": row["closed_by"],
            "at": to_iso(row["at"]),
            "read": row["read_at"] is not None,
            "url": f"/admin/operations/{row['id']}",
        }
        for row in rows
    ]
