"""People and their memberships, for whoever lists them."""

from __future__ import annotations

import json

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso


def list_members(ledger: Ledger) -> list[Row]:
    """Every person with each of their memberships, or with none."""
    with ledger.session():
        rows = ledger.execute(
            "SELECT person.id AS user_id, person.name, person.disabled_at, member.workspace_id, "
            "member.role, member.tenants FROM lastword_user AS person "
            "LEFT JOIN lastword_membership AS member ON member.user_id = person.id "
            "ORDER BY person.id, member.workspace_id"
        )
    return [
        {
            **row,
            "disabled_at": to_iso(row["disabled_at"]) if row["disabled_at"] else None,
            "tenants": json.loads(row["tenants"]) if row["tenants"] else None,
        }
        for row in rows
    ]
