"""Who is signed in, what was done by whom, who is to be told; and what the lists are read by."""

from typing import Any

STATEMENTS = """
ALTER TABLE lastword_user ADD COLUMN password_hash TEXT;

ALTER TABLE lastword_user ADD COLUMN oversees BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE lastword_identity (
    issuer VARCHAR(255) NOT NULL,
    subject VARCHAR(255) NOT NULL,
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE lastword_session (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    token_hash VARCHAR(64) NOT NULL UNIQUE,
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    method VARCHAR(20) NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);

CREATE INDEX lastword_session_user ON lastword_session (user_id, created_at);

CREATE TABLE lastword_sign_in_link (
    token_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE lastword_sign_in_failure (
    id {big_auto},
    key VARCHAR(100) NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX lastword_sign_in_failure_key ON lastword_sign_in_failure (key, at);

CREATE TABLE lastword_api_token (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    token_hash VARCHAR(64) NOT NULL UNIQUE,
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    name VARCHAR(100) NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE INDEX lastword_api_token_user ON lastword_api_token (user_id, created_at);

CREATE TABLE lastword_saved_view (
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    name VARCHAR(60) NOT NULL,
    query VARCHAR(2000) NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE TABLE lastword_notification (
    run_id VARCHAR(64) NOT NULL PRIMARY KEY REFERENCES lastword_run (id) ON DELETE CASCADE,
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    at BIGINT NOT NULL,
    read_at BIGINT
);

CREATE INDEX lastword_notification_user ON lastword_notification (user_id, at, run_id);
CREATE INDEX lastword_notification_unread ON lastword_notification (user_id)
    WHERE read_at IS NULL;

CREATE TABLE lastword_audit (
    id {big_auto},
    at BIGINT NOT NULL,
    actor_kind VARCHAR(20) NOT NULL,
    actor_id VARCHAR(64),
    actor_name VARCHAR(200) NOT NULL,
    action VARCHAR(50) NOT NULL,
    result VARCHAR(20) NOT NULL,
    reason VARCHAR(64),
    target_kind VARCHAR(30) NOT NULL,
    target_id VARCHAR(200),
    workspace_id VARCHAR(64),
    tenant_id VARCHAR(64),
    run_id VARCHAR(64),
    request_id VARCHAR(64),
    before TEXT,
    after TEXT,
    CHECK (actor_kind IN ('person', 'command_line', 'reconciler', 'scheduler', 'system')),
    CHECK (result IN ('done', 'denied', 'failed'))
);

CREATE INDEX lastword_audit_workspace ON lastword_audit (workspace_id, id);
CREATE INDEX lastword_audit_tenant ON lastword_audit (tenant_id, id) WHERE tenant_id IS NOT NULL;
CREATE INDEX lastword_audit_run ON lastword_audit (run_id, id) WHERE run_id IS NOT NULL;

CREATE INDEX lastword_run_operation ON lastword_run (workspace_id, operation, created_at, id);
CREATE INDEX lastword_run_follow_up ON lastword_run (workspace_id, created_at, id)
    WHERE outcome IN ('blocked', 'failed', 'partially_succeeded');
CREATE INDEX lastword_run_reconciled ON lastword_run (workspace_id, created_at, id)
    WHERE closed_by IN ('adapter', 'backup_schedule', 'generic', 'sentinel')
"""

SQLITE_APPEND_ONLY = tuple(
    f"""
    CREATE TRIGGER lastword_audit_no_{verb.lower()} BEFORE {verb} ON lastword_audit
    BEGIN SELECT RAISE(ABORT, 'lastword_audit is append-only'); END
    """
    for verb in ("UPDATE", "DELETE")
)

POSTGRES_APPEND_ONLY = (
    """
    CREATE FUNCTION lastword_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''lastword_audit is append-only''; END'
    """,
    """
    CREATE TRIGGER lastword_audit_append_only BEFORE UPDATE OR DELETE ON lastword_audit
    FOR EACH ROW EXECUTE FUNCTION lastword_audit_append_only()
    """,
)


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; nothing that older processes write is taken away."""
    postgres = migrator.database.param == "%s"
    big_auto = "BIGSERIAL PRIMARY KEY" if postgres else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    for statement in STATEMENTS.format(big_auto=big_auto).split(";"):
        db.execute_sql(statement)
    for statement in POSTGRES_APPEND_ONLY if postgres else SQLITE_APPEND_ONLY:
        db.execute_sql(statement)
