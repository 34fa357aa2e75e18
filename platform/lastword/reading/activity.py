"""Active runs and live workers as gauges see them: in groups, by the freshness of badges."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from lastword.reading.freshness import Freshness, freshness_sql
from lastword.storage.ledger import Ledger, Row

#: The queue of a run whose message is not sent yet, and of a worker that serves several.
UNKNOWN, SEVERAL = "unknown", "several"


@dataclass(frozen=True, slots=True)
class ActiveGroup:
    """Active runs of one operation, queue and status.

    Attributes:
        runs: how many.
        stale: how many of them are `likely_stale`.
        oldest_s: for how long the oldest has been in its status, in seconds.
        oldest_stale_s: for how long the oldest stale one has been stale; 0 if none is.
    """

    operation: str
    queue: str
    status: str
    runs: int
    stale: int
    oldest_s: float
    oldest_stale_s: float


@dataclass(slots=True)
class QueueWorkers:
    """The workers of one queue.

    Attributes:
        states: how many are `active`, `draining`, or `lost`: silent, and not judged yet.
        busy: threads that work.
        idle: threads that do not.
        oldest_heartbeat_s: the age of the oldest heartbeat, in seconds.
        stop_wait_s: the shortest time that whatever stops them waits; None if nobody said.
    """

    states: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("active", "draining", "lost"), 0)
    )
    busy: int = 0
    idle: int = 0
    oldest_heartbeat_s: float = 0.0
    stop_wait_s: float | None = None


def read_active(ledger: Ledger) -> list[ActiveGroup]:
    """The active runs in groups; the cost follows how many there are, not the history."""
    now = ledger.dialect.now_ms
    stale = f"freshness = '{Freshness.LIKELY_STALE}'"
    # Stale for its own limit, or since its worker's lease was over.
    since = (
        f"CASE WHEN {stale} THEN CASE WHEN stale_at <= {now} THEN stale_at ELSE COALESCE("
        "(SELECT COALESCE(ended_at, lease_until) FROM lastword_worker AS gone "
        "WHERE gone.id = seen.worker_id), changed_at) END END"
    )
    with ledger.session():
        rows = ledger.execute(
            f"SELECT operation, queue, status, COUNT(*) AS runs, {now} AS now, "
            f"SUM(CASE WHEN {stale} THEN 1 ELSE 0 END) AS stale, MIN(changed_at) AS oldest, "
            f"MIN({since}) AS stale_since FROM (SELECT operation, "
            f"COALESCE(message_queue, '{UNKNOWN}') AS queue, status, stale_at, changed_at, "
            f"worker_id, {freshness_sql(ledger.dialect)} AS freshness FROM lastword_run "
            "WHERE completed_at IS NULL) AS seen GROUP BY operation, queue, status"
        )
    return [_group(row) for row in rows]


def read_workers(ledger: Ledger) -> dict[str, QueueWorkers]:
    """The workers that have not ended, by queue."""
    now = ledger.dialect.now_ms
    with ledger.session():
        rows = ledger.execute(
            f"SELECT queues, threads, working, {now} - heartbeat_at AS silent_ms, stop_wait_ms, "
            f"draining_at, CASE WHEN lease_until <= {now} THEN 1 ELSE 0 END AS is_silent "
            "FROM lastword_worker WHERE ended_at IS NULL"
        )
    found: dict[str, QueueWorkers] = defaultdict(QueueWorkers)
    for row in rows:
        _add(found[_queue_of(json.loads(row["queues"] or "[]"))], row)
    return dict(found)


def plain_queue(name: str) -> str:
    """A queue without the ending that Dramatiq gives its delayed and dead messages."""
    return name.removesuffix(".DQ").removesuffix(".XQ")


def _group(row: Row) -> ActiveGroup:
    stale_since = row["stale_since"]
    return ActiveGroup(
        operation=row["operation"],
        queue=plain_queue(row["queue"]),
        status=row["status"],
        runs=int(row["runs"]),
        stale=int(row["stale"]),
        oldest_s=max(0.0, (row["now"] - row["oldest"]) / 1000),
        oldest_stale_s=0.0 if stale_since is None else max(0.0, (row["now"] - stale_since) / 1000),
    )


def _add(here: QueueWorkers, row: Row) -> None:
    draining = "active" if row["draining_at"] is None else "draining"
    here.states["lost" if row["is_silent"] else draining] += 1
    busy = min(len(json.loads(row["working"] or "[]")), int(row["threads"]))
    here.busy += busy
    here.idle += int(row["threads"]) - busy
    here.oldest_heartbeat_s = max(here.oldest_heartbeat_s, row["silent_ms"] / 1000)
    if row["stop_wait_ms"] is not None:
        granted_s = row["stop_wait_ms"] / 1000
        here.stop_wait_s = min(here.stop_wait_s or granted_s, granted_s)


def _queue_of(names: Sequence[str]) -> str:
    plain = sorted({plain_queue(name) for name in names})
    if not plain:
        return UNKNOWN
    return plain[0] if len(plain) == 1 else SEVERAL
