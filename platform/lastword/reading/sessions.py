"""The open sessions of a person, for that person."""

from __future__ import annotations

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso


def list_sessions(ledger: Ledger, user_id: str) -> list[Row]:
    """The sessions of a person that have not ended, the latest first."""
    with ledger.session():
        rows = ledger.execute(
            "SELECT id, method, created_at, seen_at, expires_at FROM lastword_session "
            f"WHERE user_id = {ledger.dialect.param} AND ended_at IS NULL "
            f"AND expires_at > {ledger.dialect.now_ms} ORDER BY created_at DESC, id LIMIT 100",
            user_id,
        )
    moments = ("created_at", "seen_at", "expires_at")
    return [{**row, **{name: to_iso(row[name]) for name in moments}} for row in rows]
