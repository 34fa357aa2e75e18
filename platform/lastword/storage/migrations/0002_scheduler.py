"""What schedulers share: who leads, what their jobs last did, cron schedules and their slots.

The two indexes that are made anew hold no more than what is looked for in them, so that PostgreSQL,
with whatever statistics, takes `lastword_run_active` for a page of a sweep and does not sort.
"""

from typing import Any

STATEMENTS = """
ALTER TABLE lastword_worker ADD COLUMN queues TEXT;

ALTER TABLE lastword_worker ADD COLUMN rescued_at BIGINT;

CREATE INDEX lastword_worker_unrescued ON lastword_worker (id)
    WHERE ended_at IS NOT NULL AND rescued_at IS NULL;

CREATE INDEX lastword_run_completed ON lastword_run (completed_at, id)
    WHERE completed_at IS NOT NULL;

CREATE INDEX lastword_run_cancel ON lastword_run (id)
    WHERE completed_at IS NULL AND cancel_requested_at IS NOT NULL;

DROP INDEX lastword_run_identity;
CREATE UNIQUE INDEX lastword_run_identity ON lastword_run (identity_hash)
    WHERE completed_at IS NULL AND identity_hash IS NOT NULL;

DROP INDEX lastword_run_stale;
CREATE INDEX lastword_run_stale ON lastword_run (stale_at)
    WHERE completed_at IS NULL AND stale_at IS NOT NULL;

CREATE TABLE lastword_leader (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    holder VARCHAR(64) NOT NULL,
    host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    since BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

CREATE TABLE lastword_sweep (
    job VARCHAR(64) NOT NULL PRIMARY KEY,
    scheduler VARCHAR(64) NOT NULL,
    ended_at BIGINT NOT NULL,
    succeeded_at BIGINT,
    duration_ms BIGINT NOT NULL,
    result VARCHAR(20) NOT NULL,
    found BIGINT NOT NULL,
    acted BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    lost_races BIGINT NOT NULL,
    error TEXT
);

CREATE TABLE lastword_schedule (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    name VARCHAR(200) NOT NULL UNIQUE,
    operation VARCHAR(100) NOT NULL,
    workspace_id VARCHAR(64),
    tenant_id VARCHAR(64) REFERENCES lastword_tenant (id),
    initiator_id VARCHAR(64),
    cron VARCHAR(100) NOT NULL,
    timezone VARCHAR(64) NOT NULL,
    inputs TEXT NOT NULL,
    actor_name VARCHAR(200) NOT NULL,
    payload TEXT NOT NULL,
    identity_hash VARCHAR(64) NOT NULL,
    next_at BIGINT NOT NULL,
    paused_at BIGINT,
    error TEXT,
    created_at BIGINT NOT NULL
);

CREATE INDEX lastword_schedule_due ON lastword_schedule (next_at) WHERE paused_at IS NULL;

CREATE TABLE lastword_slot (
    schedule_id VARCHAR(64) NOT NULL REFERENCES lastword_schedule (id) ON DELETE CASCADE,
    slot_at BIGINT NOT NULL,
    result VARCHAR(20) NOT NULL,
    run_id VARCHAR(64),
    noted_at BIGINT NOT NULL,
    PRIMARY KEY (schedule_id, slot_at)
);

CREATE INDEX lastword_slot_noted ON lastword_slot (noted_at)
"""


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; nothing that older processes write is taken away."""
    del migrator
    for statement in STATEMENTS.split(";"):
        db.execute_sql(statement)
