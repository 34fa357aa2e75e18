"""The records of backups and restores: what was captured, and what was written back."""

from typing import Any

STATEMENTS = """
CREATE TABLE lastword_jobs_backup_set (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    schedule_id VARCHAR(64),
    slot VARCHAR(30),
    run_id VARCHAR(64) NOT NULL,
    status VARCHAR(30) NOT NULL,
    reason VARCHAR(64),
    counts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    CHECK ((status = 'running') = (ended_at IS NULL)),
    UNIQUE (schedule_id, slot)
);

CREATE INDEX lastword_jobs_backup_set_run ON lastword_jobs_backup_set (run_id);
CREATE INDEX lastword_jobs_backup_set_open ON lastword_jobs_backup_set (run_id)
    WHERE ended_at IS NULL;

CREATE TABLE lastword_jobs_restore (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    backup_set_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_backup_set (id),
    run_id VARCHAR(64),
    status VARCHAR(30) NOT NULL,
    reason VARCHAR(64),
    counts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    CHECK ((status IN ('previewed', 'running')) = (ended_at IS NULL))
);

CREATE INDEX lastword_jobs_restore_run ON lastword_jobs_restore (run_id);
CREATE INDEX lastword_jobs_restore_open ON lastword_jobs_restore (run_id) WHERE status = 'running'
"""


def up(migrator: Any, db: Any) -> None:
    """Create the two tables."""
    del migrator
    for statement in STATEMENTS.split(";"):
        db.execute_sql(statement)
