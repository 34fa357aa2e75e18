"""What operators see of workers: which build they run, how they stop, that they were asked to."""

from typing import Any

STATEMENTS = """
ALTER TABLE lastword_worker ADD COLUMN revision VARCHAR(200);

ALTER TABLE lastword_worker ADD COLUMN shutdown_timeout_ms BIGINT;

ALTER TABLE lastword_worker ADD COLUMN stop_wait_ms BIGINT;

ALTER TABLE lastword_worker ADD COLUMN unsafe_timing TEXT;

ALTER TABLE lastword_worker ADD COLUMN drain_requested_at BIGINT;

ALTER TABLE lastword_worker ADD COLUMN draining_at BIGINT
"""


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; nothing that older processes write is taken away."""
    del migrator
    for statement in STATEMENTS.split(";"):
        db.execute_sql(statement)
