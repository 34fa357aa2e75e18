"""What is known of a run beside its row: its worker's lease, its policy, and the next sweep."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lastword.storage.ledger import Ledger

#: The job of the scheduler that judges every operation.
GENERIC_JOB = "reconcile.generic"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a headline is made of. Moments are milliseconds since 1970 by the database's clock.

    Attributes:
        now_ms: when this was read.
        worker: the worker of the current or last attempt, or the holder of the message: its `id`,
            `host`, `pid`, `heartbeat_at`, `lease_until`, `ended_at` and `ending`; None if none.
        policy: the lifecycle policy that the run was accepted under.
        swept_at_ms: when the generic reconciler last succeeded; None if it never did.
        stale_at_ms: when the run becomes stale unless something is heard of it.
        claimed_at_ms: when the current attempt began.
    """

    now_ms: int
    worker: dict[str, Any] | None
    policy: dict[str, Any]
    swept_at_ms: int | None
    stale_at_ms: int | None
    claimed_at_ms: int | None


def surroundings_of(ledger: Ledger, run_id: str) -> Surroundings:
    """What surrounds a run that is there."""
    dialect = ledger.dialect
    with ledger.session():
        [row] = ledger.execute(
            f"SELECT {dialect.now_ms} AS now, run.stale_at, run.claimed_at, policy.document, "
            "sweep.succeeded_at, worker.id, worker.host, worker.pid, worker.heartbeat_at, "
            "worker.lease_until, worker.ended_at, worker.ending FROM lastword_run AS run "
            "JOIN lastword_policy AS policy ON policy.version = run.policy_version "
            "LEFT JOIN lastword_worker AS worker "
            "ON worker.id = COALESCE(run.holder, run.worker_id) "
            f"LEFT JOIN lastword_sweep AS sweep ON sweep.job = '{GENERIC_JOB}' "
            f"WHERE run.id = {dialect.param}",
            run_id,
        )
    names = ("id", "host", "pid", "heartbeat_at", "lease_until", "ended_at", "ending")
    return Surroundings(
        now_ms=row["now"],
        worker={name: row[name] for name in names} if row["id"] else None,
        policy=json.loads(row["document"]),
        swept_at_ms=row["succeeded_at"],
        stale_at_ms=row["stale_at"],
        claimed_at_ms=row["claimed_at"],
    )
