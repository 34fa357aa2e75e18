"""Workers as people read them: who is alive, since when, of which build, working on what."""

from __future__ import annotations

import json

from lastword.storage.ledger import Ledger, Row
from lastword.times import to_iso

#: Milliseconds without a tick after which a worker whose process lives is shown as not ticking.
SILENT_MS = 10_000

_MOMENTS = (
    *("started_at", "heartbeat_at", "ticked_at", "lease_until", "ended_at"),
    *("drain_requested_at", "draining_at"),
)


def list_workers(ledger: Ledger, *, limit: int = 100) -> list[Row]:
    """The latest workers, live ones first.

    `lease` is `live`, `not_ticking` (its process lives, its threads say nothing), `expired`
    (silent, not yet judged) or `ended`. `state` is `active`, `draining` (it takes nothing new),
    `stopped` or `lost`. Durations are in seconds.
    """
    now = ledger.dialect.now_ms
    with ledger.session():
        rows = ledger.execute(
            "SELECT id, host, pid, version, revision, threads, queues, broker_id, "
            "shutdown_timeout_ms, stop_wait_ms, unsafe_timing, started_at, heartbeat_at, "
            "ticked_at, lease_until, ended_at, ending, cause, working, drain_requested_at, "
            "draining_at, COALESCE(ending, CASE WHEN draining_at IS NULL THEN 'active' "
            "ELSE 'draining' END) AS state, "
            "CASE WHEN ended_at IS NOT NULL THEN 'ended' "
            f"WHEN lease_until <= {now} THEN 'expired' "
            f"WHEN ticked_at <= {now} - {SILENT_MS} THEN 'not_ticking' ELSE 'live' END AS lease "
            "FROM lastword_worker ORDER BY ended_at IS NOT NULL, started_at DESC "
            f"LIMIT {int(limit)}"
        )
    return [_readable(row) for row in rows]


def _readable(row: Row) -> Row:
    shown = {
        **row,
        **{name: to_iso(row[name]) for name in _MOMENTS},
        **{name: json.loads(row[name] or "[]") for name in ("working", "queues", "unsafe_timing")},
        "cause": json.loads(row["cause"]) if row["cause"] else None,
    }
    for name in ("shutdown_timeout", "stop_wait"):
        milliseconds = shown.pop(f"{name}_ms")
        shown[name] = None if milliseconds is None else milliseconds / 1000
    return shown
