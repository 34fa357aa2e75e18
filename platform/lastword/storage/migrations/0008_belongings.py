"""What belongs to a run goes with it on PostgreSQL, whoever removes the run.

`0007_speed` gave up the foreign keys that saw to that, and schedulers of the version before it,
which may still act, rely on them: each run that they remove would leave its events and attempts for
ever. One look for a statement, not one for each row, and nothing to find where they are gone.
"""

from typing import Any

FUNCTION = """
CREATE FUNCTION lastword_run_belongings() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN
    DELETE FROM lastword_event WHERE run_id IN (SELECT id FROM gone);
    DELETE FROM lastword_attempt WHERE run_id IN (SELECT id FROM gone);
    RETURN NULL;
END'
"""

TRIGGER = """
CREATE TRIGGER lastword_run_belongings AFTER DELETE ON lastword_run
REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION lastword_run_belongings()
"""


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; SQLite has its foreign keys still."""
    if migrator.database.param == "%s":
        db.execute_sql(FUNCTION)
        db.execute_sql(TRIGGER)
