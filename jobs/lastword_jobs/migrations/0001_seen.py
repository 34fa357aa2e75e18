"""What the syncs see: inventory items and policies."""

from typing import Any

COLUMNS = """
    tenant_id VARCHAR(64) NOT NULL REFERENCES lastword_tenant (id),
    type VARCHAR(50) NOT NULL,
    external_id VARCHAR(128) NOT NULL,
    name VARCHAR(1024) NOT NULL,
    meta TEXT NOT NULL,
    meta_hash VARCHAR(64) NOT NULL,
    last_seen_run VARCHAR(64) NOT NULL,
    seen_at BIGINT NOT NULL,
"""
KEY = "PRIMARY KEY (tenant_id, type, external_id)"


def up(migrator: Any, db: Any) -> None:
    """Create the two tables."""
    del migrator
    db.execute_sql(f"CREATE TABLE lastword_jobs_inventory_item ({COLUMNS} {KEY})")
    db.execute_sql(f"CREATE TABLE lastword_jobs_policy ({COLUMNS} missing BOOLEAN NOT NULL, {KEY})")
