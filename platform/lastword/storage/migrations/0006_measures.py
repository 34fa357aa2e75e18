"""Counters and histograms that no killed process takes along.

What is counted is added as rows, which never wait for each other; the scheduler adds them up.
"""

from typing import Any

STATEMENTS = """
CREATE TABLE lastword_measure (
    name VARCHAR(64) NOT NULL,
    labels VARCHAR(300) NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (name, labels)
);

CREATE TABLE lastword_measured (
    id {big_auto},
    name VARCHAR(64) NOT NULL,
    labels VARCHAR(300) NOT NULL,
    value BIGINT NOT NULL
)
"""


def up(migrator: Any, db: Any) -> None:
    """Add to what is there; nothing that older processes write is taken away."""
    postgres = migrator.database.param == "%s"
    big_auto = "BIGSERIAL PRIMARY KEY" if postgres else "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT"
    for statement in STATEMENTS.format(big_auto=big_auto).split(";"):
        db.execute_sql(statement)
