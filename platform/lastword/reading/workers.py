"""Workers as people read them: who is alive, since when, working on what."""

from __future__ import annotations

import json

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso

#: Milliseconds without a tick after which a worker whose process lives is shown as not ticking.
SILENT_MS = 10_000

_MOMENTS = ("started_at", "heartbeat_at", "ticked_at", "lease_until", "ended_at")


def list_workers(ledger: Ledger, *, limit: int = 100) -> list[Row]:
    """The latest workers, live ones first.

    `lease` is `live`, `not_ticking` (its process lives, its threads say nothing), `expired`
    (silent, not yet judged) or `ended`.
    """
    now = ledger.dialect.now_ms
    with ledger.session():
        rows = ledger.execute(
            "SELECT id, host, pid, version, threads, broker_id, started_at, heartbeat_at, "
            "ticked_at, lease_until, ended_at, ending, cause, working, "
            "CASE WHEN ended_at IS NOT NULL THEN 'ended' "
            f"WHEN lease_until <= {now} THEN 'expired' "
            f"WHEN ticked_at <= {now} - {SILENT_MS} THEN 'not_ticking' ELSE 'live' END AS lease "
            "FROM lastword_worker ORDER BY ended_at IS NOT NULL, started_at DESC "
            f"LIMIT {int(limit)}"
        )
    return [
        {
            **row,
            **{name: to_iso(row[name]) for name in _MOMENTS},
            "working": json.loads(row["working"]),
            "cause": json.loads(row["cause"]) if row["cause"] else None,
        }
        for row in rows
    ]
