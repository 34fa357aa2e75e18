"""Exports whose own record says how they ended, and a reconciler that reads it.

The record and the ledger are in one database. A worker that dies after it has written the record,
and before it has told so, leaves a run that looks lost and is not.
"""

from collections import Counter

import dramatiq
import peewee

import lastword
import lastword_middleware
from lastword.config import load_config
from lastword.domains import DomainEnd
from lastword.reasons import Reason
from lastword.states import Outcome, Source
from lastword_middleware.broker import worker_broker

database = peewee.SqliteDatabase("exports.db", pragmas={"journal_mode": "wal"}, timeout=10)


class Export(peewee.Model):
    """One export: which run writes it, and how it ended."""

    run_id = peewee.TextField(unique=True)
    ended_ms = peewee.BigIntegerField(null=True)
    fault = peewee.TextField(null=True)

    class Meta:
        """Where it is kept."""

        database = database
        table_name = "export"


class ExportReconciler:
    """The record of an export wins over every threshold, and over the loss of its worker."""

    #: Under which it acts: that of everything which reads an end off a record.
    source = Source.ADAPTER

    def look(self, ledger, runs):
        """Of these active runs, those whose record holds the end. It is asked again and again."""
        by_id = {run.run_id: run for run in runs if run.operation == "export.write"}
        if not by_id:
            return {}
        marks = ", ".join([ledger.dialect.param] * len(by_id))
        with ledger.session():
            rows = ledger.execute(
                f"SELECT run_id, fault, {ledger.dialect.now_ms} - ended_ms AS age_ms FROM export "
                f"WHERE ended_ms IS NOT NULL AND run_id IN ({marks})",
                *by_id,
            )
        return {row["run_id"]: self._end(row) for row in rows}

    def tidy(self, ledger):
        """Bring records in line with runs that ended without them; how many of what were."""
        return Counter()

    def _end(self, row):
        return DomainEnd(
            outcome=Outcome.FAILED if row["fault"] else Outcome.SUCCEEDED,
            reason=Reason.UNKNOWN_ERROR if row["fault"] else None,
            # What operators are shown: what was seen where.
            evidence={"record": {"table": "export", "fault": row["fault"]}},
            # A worker that has just written it says so itself, a moment later.
            age_s=row["age_ms"] / 1000,
        )


def make_application():
    """The broker with its actor; the scheduler imports this module for the reconciler alone."""
    broker = worker_broker(load_config())
    dramatiq.set_broker(broker)
    lastword_middleware.install(broker, database=database)

    @dramatiq.actor(operation="export.write")
    def write_export():
        run = lastword.current_run()
        with database.connection_context():
            database.create_tables([Export])
            Export.insert(run_id=run.run_id).on_conflict_ignore().execute()
            # ... write the file; then, as the last thing of all, the record's end.
            now_ms = peewee.SQL("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")
            Export.update(ended_ms=now_ms).where(Export.run_id == run.run_id).execute()

    return broker
