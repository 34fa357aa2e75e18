"""What the tables say at one moment, read by plain SQL between two turns."""

from __future__ import annotations

from collections import Counter

from lastword.reading.freshness import freshness_sql
from lastword.service.counters import Counted
from lastword.storage.ledger import Ledger, Row
from tests.faults.picture import Picture


class Tables:
    """Those of one ledger, read on its own connection and of no call."""

    def __init__(self, ledger: Ledger) -> None:
        self._connection = ledger.database.connection()
        self._freshness = freshness_sql(ledger.dialect)

    @property
    def changes(self) -> int:
        """How many rows were ever changed: as many as before if nothing was."""
        return int(self._connection.total_changes)

    def picture(self, now: int) -> Picture:
        """Everything that is judged."""
        late = f"name = '{Counted.LATE_RESULTS}'"
        return Picture(
            now=now,
            runs={
                row["id"]: row
                for row in self._rows(f"SELECT *, {self._freshness} AS freshness FROM lastword_run")
            },
            attempts={
                (row["run_id"], row["number"]): row
                for row in self._rows("SELECT * FROM lastword_attempt")
            },
            events=tuple(self._rows("SELECT * FROM lastword_event ORDER BY id")),
            workers={row["id"]: row for row in self._rows("SELECT * FROM lastword_worker")},
            late_results={
                row["label"]: row["value"]
                for row in self._rows(f"SELECT label, value FROM lastword_counter WHERE {late}")
            },
        )

    def notifications(self) -> Counter[tuple[str, str]]:
        """How often each person was told of each run."""
        return Counter(
            self._connection.execute("SELECT run_id, user_id FROM lastword_notification")
        )

    def _rows(self, statement: str) -> list[Row]:
        cursor = self._connection.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]
