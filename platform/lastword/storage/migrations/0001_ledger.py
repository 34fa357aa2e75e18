"""The ledger: workspaces, tenants, policies, workers, runs, attempts, events, counters."""

from typing import Any

STATEMENTS = """
CREATE TABLE lastword_workspace (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE lastword_tenant (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    workspace_id VARCHAR(64) NOT NULL REFERENCES lastword_workspace (id),
    name VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE lastword_policy (
    version VARCHAR(16) NOT NULL PRIMARY KEY,
    operation VARCHAR(100) NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE lastword_worker (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    host VARCHAR(255) NOT NULL,
    pid INTEGER NOT NULL,
    version VARCHAR(50) NOT NULL,
    broker_id VARCHAR(64),
    threads INTEGER NOT NULL,
    started_at BIGINT NOT NULL,
    heartbeat_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    ticked_at BIGINT NOT NULL,
    working TEXT NOT NULL,
    listed_at BIGINT NOT NULL,
    ended_at BIGINT,
    ending VARCHAR(20),
    cause TEXT,
    CHECK ((ended_at IS NULL) = (ending IS NULL))
);

CREATE INDEX lastword_worker_live ON lastword_worker (lease_until) WHERE ended_at IS NULL;

CREATE TABLE lastword_run (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    operation VARCHAR(100) NOT NULL,
    workspace_id VARCHAR(64),
    tenant_id VARCHAR(64),
    initiator_id VARCHAR(64),
    initiator_name VARCHAR(200) NOT NULL,
    status VARCHAR(20) NOT NULL,
    outcome VARCHAR(20) NOT NULL,
    reason VARCHAR(64),
    closed_by VARCHAR(20),
    identity_hash VARCHAR(64),
    policy_version VARCHAR(16) NOT NULL REFERENCES lastword_policy (version),
    queued_stale_ms BIGINT NOT NULL,
    running_stale_ms BIGINT NOT NULL,
    max_queue_wait_ms BIGINT NOT NULL,
    dispatch INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    lost_deliveries INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    worker_id VARCHAR(64),
    holder VARCHAR(64),
    held_at BIGINT,
    probation INTEGER NOT NULL,
    cancel_requested_at BIGINT,
    cancel_requested_by VARCHAR(200),
    retry_of VARCHAR(64),
    parent_id VARCHAR(64),
    children INTEGER NOT NULL,
    children_open INTEGER NOT NULL,
    children_succeeded INTEGER NOT NULL,
    returned_at BIGINT,
    returned_outcome VARCHAR(20),
    actor_name VARCHAR(200) NOT NULL,
    payload TEXT NOT NULL,
    message_queue VARCHAR(200),
    message_ref VARCHAR(64),
    sent_at BIGINT,
    summary_counts TEXT NOT NULL,
    failures TEXT NOT NULL,
    context TEXT NOT NULL,
    reconciliation TEXT,
    evidence TEXT,
    stale_at BIGINT,
    wait_until BIGINT,
    created_at BIGINT NOT NULL,
    available_at BIGINT NOT NULL,
    started_at BIGINT,
    claimed_at BIGINT,
    changed_at BIGINT NOT NULL,
    completed_at BIGINT,
    CHECK (status IN ('queued', 'running', 'completed')),
    CHECK (outcome IN (
        'pending', 'succeeded', 'partially_succeeded', 'blocked', 'failed', 'cancelled'
    )),
    CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
    CHECK ((status = 'completed') = (outcome <> 'pending')),
    CHECK ((status = 'completed') = (closed_by IS NOT NULL)),
    CHECK ((status = 'completed') = (stale_at IS NULL)),
    CHECK (status <> 'running' OR worker_id IS NOT NULL),
    CHECK (status = 'queued' OR holder IS NULL),
    CHECK ((holder IS NULL) = (held_at IS NULL)),
    CHECK ((returned_at IS NULL) = (returned_outcome IS NULL)),
    CHECK (children_open BETWEEN 0 AND children)
);

CREATE UNIQUE INDEX lastword_run_identity ON lastword_run (identity_hash)
    WHERE completed_at IS NULL;
CREATE INDEX lastword_run_active ON lastword_run (id) WHERE completed_at IS NULL;
CREATE INDEX lastword_run_stale ON lastword_run (stale_at) WHERE completed_at IS NULL;
CREATE INDEX lastword_run_created ON lastword_run (created_at, id);
CREATE INDEX lastword_run_tenant ON lastword_run (tenant_id, created_at, id);
CREATE INDEX lastword_run_parent ON lastword_run (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX lastword_run_workspace ON lastword_run (workspace_id, created_at, id);

CREATE TABLE lastword_attempt (
    run_id VARCHAR(64) NOT NULL REFERENCES lastword_run (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    worker_id VARCHAR(64) NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    ending VARCHAR(20),
    reason VARCHAR(64),
    diagnostics TEXT,
    PRIMARY KEY (run_id, number),
    CHECK ((ended_at IS NULL) = (ending IS NULL))
);

CREATE TABLE lastword_event (
    id {big_auto},
    run_id VARCHAR(64) NOT NULL REFERENCES lastword_run (id) ON DELETE CASCADE,
    at BIGINT NOT NULL,
    kind VARCHAR(30) NOT NULL,
    source VARCHAR(20) NOT NULL,
    attempt INTEGER NOT NULL,
    worker_id VARCHAR(64),
    outcome VARCHAR(20) NOT NULL,
    reason VARCHAR(64),
    terminal BOOLEAN NOT NULL,
    detail TEXT
);

CREATE INDEX lastword_event_run ON lastword_event (run_id, id);
CREATE UNIQUE INDEX lastword_event_terminal ON lastword_event (run_id) WHERE terminal;
CREATE UNIQUE INDEX lastword_event_late ON lastword_event (run_id, attempt)
    WHERE kind = 'late_result';

CREATE TABLE lastword_counter (
    name VARCHAR(64) NOT NULL,
    label VARCHAR(100) NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name, label)
)
"""

SQLITE_APPEND_ONLY = (
    """
    CREATE TRIGGER lastword_event_append_only BEFORE UPDATE ON lastword_event
    BEGIN SELECT RAISE(ABORT, 'lastword_event is append-only'); END
    """,
)

POSTGRES_APPEND_ONLY = (
    """
    CREATE FUNCTION lastword_event_append_only() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''lastword_event is append-only''; END'
    """,
    """
    CREATE TRIGGER lastword_event_append_only BEFORE UPDATE ON lastword_event
    FOR EACH ROW EXECUTE FUNCTION lastword_event_append_only()
    """,
)


def up(migrator: Any, db: Any) -> None:
    """Create everything."""
    postgres = migrator.database.param == "%s"
    big_auto = "BIGSERIAL PRIMARY KEY" if postgres else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    for statement in STATEMENTS.format(big_auto=big_auto).split(";"):
        db.execute_sql(statement)
    for statement in POSTGRES_APPEND_ONLY if postgres else SQLITE_APPEND_ONLY:
        db.execute_sql(statement)
