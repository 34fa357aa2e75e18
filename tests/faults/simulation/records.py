"""The domain's own records: an execution writes how its work ended, type-specific reconcilers read.

The tables are those of backups and restores, and so are the reconcilers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lastword.domains import DomainReconciler
from lastword.states import Outcome, Source
from lastword.storage.ledger import Ledger
from lastword_jobs.reconcilers import BackupReconciler, RestoreReconciler
from tests.faults.simulation.journal import Execution

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage

TENANT = "tenant"

#: By operation: the table, and who reads it.
TABLES = {
    "report.backup": "lastword_jobs_backup_set",
    "report.restore": "lastword_jobs_restore",
}
SOURCES = {"report.backup": Source.BACKUP_SCHEDULE, "report.restore": Source.ADAPTER}

#: What every restore is of: a backup that is no run's here.
_BASE = "base"

_OF_ALL = " UNION ALL ".join(
    f"SELECT run_id, status, ended_at FROM {table} WHERE id <> '{_BASE}'"
    for table in TABLES.values()
)


def prepare(ledger: Ledger) -> None:
    """Write what records refer to."""
    with ledger.transaction():
        ledger.execute("INSERT INTO lastword_workspace (id, name, created_at) VALUES ('w', 'w', 0)")
        ledger.execute(
            "INSERT INTO lastword_tenant (id, workspace_id, name, created_at) "
            f"VALUES ('{TENANT}', 'w', 'tenant', 0)"
        )
        ledger.execute(
            "INSERT INTO lastword_jobs_backup_set "
            "(id, tenant_id, run_id, status, counts, created_at, ended_at) "
            f"VALUES ('{_BASE}', '{TENANT}', 'none', 'succeeded', '{{}}', 0, 0)"
        )


def reconcilers() -> Sequence[DomainReconciler]:
    """Those that read the records."""
    return (BackupReconciler(), RestoreReconciler())


def emptying() -> Sequence[str]:
    """The statements that drop all records."""
    return [f"DELETE FROM {table} WHERE id <> '{_BASE}'" for table in reversed(TABLES.values())]


@dataclass(slots=True)
class Records:
    """Of one life.

    Attributes:
        told: by run, the end that an execution had its record hold, or tried to.
    """

    stage: Stage
    told: dict[str, Outcome] = field(default_factory=dict)

    def begin(self, execution: Execution) -> Outcome | None:
        """Open the record of a run; the end that it holds already."""
        found = self.stage.actors.insist(lambda: self._opened(execution))
        return Outcome(found) if found in set(Outcome) else None

    def end(self, execution: Execution) -> Outcome:
        """Have the record hold the end of the work; which end that is."""
        start = self.stage.starts[execution.run_id]
        outcome = Outcome(start.records or Outcome.SUCCEEDED)
        self.told[execution.run_id] = outcome
        self.stage.actors.insist(lambda: self._ended(execution, outcome))
        return outcome

    def seen(self) -> dict[str, tuple[str, int | None]]:
        """Every record: its status, and when it ended."""
        cursor = self.stage.ledger.database.connection().execute(_OF_ALL)
        return {run_id: (status, ended_at) for run_id, status, ended_at in cursor}

    def _opened(self, execution: Execution) -> str:
        ledger, table = self.stage.ledger, self._table(execution)
        of_what = {"lastword_jobs_restore": {"backup_set_id": _BASE}}.get(table, {})
        row = {
            "id": f"record of {execution.run_id}",
            "tenant_id": TENANT,
            "run_id": execution.run_id,
            "status": "running",
            "counts": "{}",
            "created_at": self.stage.actors.now,
            **of_what,
        }
        with ledger.transaction():
            ledger.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))}) "
                "ON CONFLICT DO NOTHING",
                *row.values(),
            )
            [found] = ledger.execute(
                f"SELECT status FROM {table} WHERE run_id = ?", execution.run_id
            )
        return str(found["status"])

    def _ended(self, execution: Execution, outcome: Outcome) -> None:
        with self.stage.ledger.transaction():
            self.stage.ledger.execute(
                f"UPDATE {self._table(execution)} SET status = ?, ended_at = ? "
                "WHERE run_id = ? AND ended_at IS NULL",
                outcome,
                self.stage.actors.now,
                execution.run_id,
            )

    def _table(self, execution: Execution) -> str:
        return TABLES[self.stage.starts[execution.run_id].operation]
