"""What keeps a run's three writes cheap: room beside its row, and no index that has nothing of it.

The foreign keys of events and attempts go on PostgreSQL, where each row that is appended would look
up and lock what it was just made from: these rows are only ever made from the run's own row, in the
transaction that moved it, and are deleted with it. (SQLite cannot drop a foreign key.)
"""

from typing import Any

#: Runs without a tenant are not looked up by it. Heartbeats change `lease_until` only,
#: and so no index.
STATEMENTS = """
DROP INDEX lastword_run_tenant;
CREATE INDEX lastword_run_tenant ON lastword_run (tenant_id, created_at, id)
    WHERE tenant_id IS NOT NULL;

DROP INDEX lastword_run_operation;
CREATE INDEX lastword_run_operation ON lastword_run (workspace_id, operation, created_at, id)
    WHERE workspace_id IS NOT NULL;

DROP INDEX lastword_worker_live;
CREATE INDEX lastword_worker_live ON lastword_worker (id) WHERE ended_at IS NULL
"""

#: A run is accepted, reserved and ended: with half of its page free, the second of these writes no
#: index. Vacuum has to come by the changed share of what is active, not of the whole history.
POSTGRES = """
ALTER TABLE lastword_event DROP CONSTRAINT lastword_event_run_id_fkey;
ALTER TABLE lastword_attempt DROP CONSTRAINT lastword_attempt_run_id_fkey;

ALTER TABLE lastword_run SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE lastword_worker SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500
);
ALTER TABLE lastword_measured SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000
)
"""


def up(migrator: Any, db: Any) -> None:
    """Change how rows are kept; what older processes read and write stays as it is."""
    postgres = migrator.database.param == "%s"
    for statement in f"{STATEMENTS};{POSTGRES}".split(";") if postgres else STATEMENTS.split(";"):
        db.execute_sql(statement)
