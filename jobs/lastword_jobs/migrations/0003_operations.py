"""The records of the operations: versions, groups and roles, baselines, backups, restores, reviews.

A moment is in milliseconds since 1970 by the database's clock; what holds JSON is a text.
"""

from typing import Any

STATEMENTS = """
CREATE TABLE lastword_jobs_connection (
    tenant_id VARCHAR(64) NOT NULL PRIMARY KEY REFERENCES lastword_tenant (id),
    client_id VARCHAR(200) NOT NULL,
    sealed_secret TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE lastword_jobs_version (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    type VARCHAR(50) NOT NULL,
    external_id VARCHAR(128) NOT NULL,
    number INTEGER NOT NULL,
    name VARCHAR(1024) NOT NULL,
    captured TEXT NOT NULL,
    content TEXT NOT NULL,
    content_hash VARCHAR(64) NOT NULL,
    run_id VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, type, external_id, number)
);

CREATE TABLE lastword_jobs_collection (
    owner_id VARCHAR(64) NOT NULL,
    type VARCHAR(50) NOT NULL,
    state VARCHAR(20) NOT NULL,
    reason VARCHAR(64),
    message TEXT,
    counts TEXT NOT NULL,
    PRIMARY KEY (owner_id, type),
    CHECK (state IN ('listed', 'failed'))
);

CREATE TABLE lastword_jobs_collected (
    owner_id VARCHAR(64) NOT NULL,
    type VARCHAR(50) NOT NULL,
    external_id VARCHAR(128) NOT NULL,
    name VARCHAR(1024) NOT NULL,
    state VARCHAR(20) NOT NULL,
    reason VARCHAR(64),
    message TEXT,
    version_id VARCHAR(64) REFERENCES lastword_jobs_version (id),
    secrets TEXT,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (owner_id, type, external_id),
    CHECK (state IN ('open', 'taken', 'skipped', 'failed')),
    CHECK ((state = 'taken') = (version_id IS NOT NULL))
);

CREATE INDEX lastword_jobs_collected_version ON lastword_jobs_collected (version_id);

CREATE TABLE lastword_jobs_group (
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    external_id VARCHAR(128) NOT NULL,
    name VARCHAR(1024) NOT NULL,
    meta TEXT NOT NULL,
    meta_hash VARCHAR(64) NOT NULL,
    deleted_at BIGINT,
    last_seen_run VARCHAR(64) NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, external_id)
);

CREATE TABLE lastword_jobs_delta (
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    resource VARCHAR(50) NOT NULL,
    link TEXT,
    resume TEXT,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, resource)
);

CREATE TABLE lastword_jobs_role (
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    external_id VARCHAR(128) NOT NULL,
    name VARCHAR(1024) NOT NULL,
    built_in BOOLEAN NOT NULL,
    meta TEXT NOT NULL,
    meta_hash VARCHAR(64) NOT NULL,
    deleted_at BIGINT,
    last_seen_run VARCHAR(64) NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, external_id)
);

CREATE TABLE lastword_jobs_baseline_profile (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    workspace_id VARCHAR(64) NOT NULL REFERENCES lastword_workspace (id),
    name VARCHAR(200) NOT NULL,
    types TEXT NOT NULL,
    mode VARCHAR(20) NOT NULL,
    active_snapshot_id VARCHAR(64),
    created_at BIGINT NOT NULL,
    UNIQUE (workspace_id, name),
    CHECK (mode IN ('meta', 'content'))
);

CREATE TABLE lastword_jobs_baseline_snapshot (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    profile_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_baseline_profile (id),
    source_tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    run_id VARCHAR(64) NOT NULL,
    types TEXT NOT NULL,
    mode VARCHAR(20) NOT NULL,
    status VARCHAR(20) NOT NULL,
    identity_hash VARCHAR(64),
    gaps TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    CHECK (status IN ('building', 'complete', 'incomplete', 'discarded')),
    CHECK ((status = 'building') = (ended_at IS NULL))
);

CREATE INDEX lastword_jobs_baseline_snapshot_run ON lastword_jobs_baseline_snapshot (run_id);

CREATE TABLE lastword_jobs_baseline_item (
    snapshot_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_baseline_snapshot (id),
    type VARCHAR(50) NOT NULL,
    subject_key VARCHAR(1100) NOT NULL,
    name VARCHAR(1024) NOT NULL,
    content TEXT NOT NULL,
    content_hash VARCHAR(64) NOT NULL,
    copies INTEGER NOT NULL,
    PRIMARY KEY (snapshot_id, type, subject_key)
);

CREATE TABLE lastword_jobs_finding (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    workspace_id VARCHAR(64),
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    profile_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_baseline_profile (id),
    snapshot_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_baseline_snapshot (id),
    recurrence_key VARCHAR(64) NOT NULL,
    source VARCHAR(50) NOT NULL,
    kind VARCHAR(50) NOT NULL,
    change VARCHAR(20) NOT NULL,
    type VARCHAR(50) NOT NULL,
    name VARCHAR(1024) NOT NULL,
    severity VARCHAR(20) NOT NULL,
    detail TEXT NOT NULL,
    detail_hash VARCHAR(64) NOT NULL,
    version_id VARCHAR(64),
    status VARCHAR(20) NOT NULL,
    run_id VARCHAR(64) NOT NULL,
    first_seen_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    accepted_at BIGINT,
    resolved_at BIGINT,
    UNIQUE (tenant_id, recurrence_key),
    CHECK (change IN ('missing', 'unexpected', 'different')),
    CHECK (status IN ('open', 'accepted', 'resolved'))
);

CREATE INDEX lastword_jobs_finding_tenant ON lastword_jobs_finding (tenant_id, status);

ALTER TABLE lastword_jobs_backup_set ADD COLUMN types TEXT;
ALTER TABLE lastword_jobs_backup_set ADD COLUMN deleted_at BIGINT;

ALTER TABLE lastword_jobs_restore ADD COLUMN continues VARCHAR(64);
ALTER TABLE lastword_jobs_restore ADD COLUMN selection TEXT;
ALTER TABLE lastword_jobs_restore ADD COLUMN mapping TEXT;
ALTER TABLE lastword_jobs_restore ADD COLUMN fingerprint VARCHAR(64);
ALTER TABLE lastword_jobs_restore ADD COLUMN confirmed_at BIGINT;
ALTER TABLE lastword_jobs_restore ADD COLUMN confirmed_by VARCHAR(200);

CREATE TABLE lastword_jobs_restore_item (
    restore_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_restore (id),
    type VARCHAR(50) NOT NULL,
    source_id VARCHAR(128) NOT NULL,
    position INTEGER NOT NULL,
    name VARCHAR(1024) NOT NULL,
    version_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_version (id),
    decision VARCHAR(20) NOT NULL,
    target_id VARCHAR(128),
    target_hash VARCHAR(64),
    state VARCHAR(20) NOT NULL,
    sent_at BIGINT,
    reason VARCHAR(64),
    message TEXT,
    assignments TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (restore_id, type, source_id),
    CHECK (decision IN (
        'create', 'update', 'unchanged', 'mapped_existing', 'preview_only', 'ambiguous'
    )),
    CHECK (state IN (
        'planned', 'create_sent', 'written', 'assigned', 'verified',
        'skipped', 'failed', 'needs_review'
    ))
);

CREATE TABLE lastword_jobs_evidence_snapshot (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    run_id VARCHAR(64) NOT NULL,
    status VARCHAR(20) NOT NULL,
    completeness VARCHAR(20),
    fingerprint VARCHAR(64),
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    expires_at BIGINT,
    CHECK (status IN ('generating', 'active', 'superseded', 'expired', 'failed')),
    CHECK (completeness IN ('complete', 'partial', 'missing', 'stale'))
);

CREATE UNIQUE INDEX lastword_jobs_evidence_active ON lastword_jobs_evidence_snapshot (tenant_id)
    WHERE status = 'active';
CREATE UNIQUE INDEX lastword_jobs_evidence_run ON lastword_jobs_evidence_snapshot (run_id);

CREATE TABLE lastword_jobs_evidence_item (
    snapshot_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_evidence_snapshot (id),
    dimension VARCHAR(50) NOT NULL,
    required BOOLEAN NOT NULL,
    source_kind VARCHAR(20) NOT NULL,
    status VARCHAR(20) NOT NULL,
    reason VARCHAR(64),
    measured_at BIGINT,
    payload TEXT NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    PRIMARY KEY (snapshot_id, dimension),
    CHECK (status IN ('present', 'stale', 'missing'))
);

CREATE TABLE lastword_jobs_review (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    evidence_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_evidence_snapshot (id),
    run_id VARCHAR(64) NOT NULL,
    status VARCHAR(20) NOT NULL,
    fingerprint VARCHAR(64),
    created_at BIGINT NOT NULL,
    published_at BIGINT,
    published_by VARCHAR(200),
    CHECK (status IN ('draft', 'ready', 'published', 'archived', 'superseded', 'failed'))
);

CREATE INDEX lastword_jobs_review_tenant ON lastword_jobs_review (tenant_id, created_at);
CREATE UNIQUE INDEX lastword_jobs_review_run ON lastword_jobs_review (run_id);

CREATE TABLE lastword_jobs_review_section (
    review_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_review (id),
    position INTEGER NOT NULL,
    key VARCHAR(50) NOT NULL,
    title VARCHAR(200) NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (review_id, position),
    UNIQUE (review_id, key)
);

CREATE TABLE lastword_jobs_pack (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    review_id VARCHAR(64) NOT NULL REFERENCES lastword_jobs_review (id),
    run_id VARCHAR(64) NOT NULL,
    status VARCHAR(20) NOT NULL,
    fingerprint VARCHAR(64) NOT NULL,
    file_name VARCHAR(200),
    sha256 VARCHAR(64),
    bytes BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    CHECK (status IN ('generating', 'ready', 'expired', 'failed'))
);

CREATE INDEX lastword_jobs_pack_review ON lastword_jobs_pack (review_id, fingerprint);
CREATE UNIQUE INDEX lastword_jobs_pack_run ON lastword_jobs_pack (run_id)
"""


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; nothing that older processes write is taken away."""
    del migrator
    for statement in STATEMENTS.split(";"):
        db.execute_sql(statement)
