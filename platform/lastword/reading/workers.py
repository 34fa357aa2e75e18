"""Workers as people read them: who is alive, since when, working on what."""

from __future__ import annotations

import json

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso

_MOMENTS = ("started_at", "heartbeat_at", "lease_until", "ended_at")


def list_workers(ledger: Ledger, *, limit: int = 100) -> list[Row]:
    """The latest workers, live ones first.

    `lease` is `live`, `expired` (silent, not yet judged) or `ended`.
    """
    now = ledger.dialect.now_ms
    with ledger.session():
        rows = ledger.execute(
            "SELECT id, host, pid, version, threads, broker_id, started_at, heartbeat_at, "
            "lease_until, ended_at, ending, working, CASE WHEN ended_at IS NOT NULL THEN 'ended' "
            f"WHEN lease_until <= {now} THEN 'expired' ELSE 'live' END AS lease "
            "FROM lastword_worker ORDER BY ended_at IS NOT NULL, started_at DESC "
            f"LIMIT {int(limit)}"
        )
    return [
        {
            **row,
            **{name: to_iso(row[name]) for name in _MOMENTS},
            "working": json.loads(row["working"]),
        }
        for row in rows
    ]
