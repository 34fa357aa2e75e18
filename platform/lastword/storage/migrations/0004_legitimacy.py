"""Who may do what to which tenant, and which runs exclude each other."""

from typing import Any

STATEMENTS = """
ALTER TABLE lastword_workspace ADD COLUMN suspended_at BIGINT;

ALTER TABLE lastword_tenant ADD COLUMN suspended_at BIGINT;

ALTER TABLE lastword_tenant ADD COLUMN removed_at BIGINT;

ALTER TABLE lastword_tenant ADD COLUMN writable BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE lastword_user (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE lastword_membership (
    workspace_id VARCHAR(64) NOT NULL REFERENCES lastword_workspace (id),
    user_id VARCHAR(64) NOT NULL REFERENCES lastword_user (id),
    role VARCHAR(20) NOT NULL,
    tenants TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, user_id),
    CHECK (role IN ('viewer', 'operator', 'manager', 'owner'))
);

ALTER TABLE lastword_run ADD COLUMN scope_key VARCHAR(64);

CREATE UNIQUE INDEX lastword_run_scope ON lastword_run (scope_key)
    WHERE completed_at IS NULL AND scope_key IS NOT NULL
"""


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; nothing that older processes write is taken away."""
    del migrator
    for statement in STATEMENTS.split(";"):
        db.execute_sql(statement)
