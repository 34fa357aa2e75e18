"""The type-specific reconcilers of backups and restores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lastword.domains import ActiveRun, DomainEnd
from lastword.identity import RunId
from lastword.reasons import Reason
from lastword.service.scheduling import ScheduleService, SlotResult
from lastword.states import Outcome, Source, Status
from lastword.storage.ledger import Ledger, Row, as_batch
from lastword.times import to_iso
from lastword_jobs.backups import RecordStatus

_BACKUP_SETS, _RESTORES = "lastword_jobs_backup_set", "lastword_jobs_restore"


class BackupReconciler:
    """Backup schedules: run and backup set agree, and a slot has one run and no other."""

    @property
    def source(self) -> Source:
        """See `DomainReconciler`."""
        return Source.BACKUP_SCHEDULE

    def look(self, ledger: Ledger, runs: Sequence[ActiveRun]) -> Mapping[RunId, DomainEnd]:
        """Runs whose set has ended, and queued runs for a slot that has its run already."""
        return {**_duplicates(ledger, runs), **_ends(ledger, _BACKUP_SETS, runs)}

    def tidy(self, ledger: Ledger) -> Counter[str]:
        """End sets whose run has ended without them, and note slots whose run is gone."""
        orphaned = ScheduleService(ledger).orphan_slots()
        return +Counter({"records_ended": _end_open(ledger, _BACKUP_SETS), "orphaned": orphaned})


class RestoreReconciler:
    """Restores: the restore record and its run agree."""

    @property
    def source(self) -> Source:
        """See `DomainReconciler`."""
        return Source.ADAPTER

    def look(self, ledger: Ledger, runs: Sequence[ActiveRun]) -> Mapping[RunId, DomainEnd]:
        """Runs whose restore has ended. One unfinished, or absent, is no evidence of an end."""
        return _ends(ledger, _RESTORES, runs)

    def tidy(self, ledger: Ledger) -> Counter[str]:
        """End restores whose run has ended without them."""
        return +Counter({"records_ended": _end_open(ledger, _RESTORES)})


def _ends(ledger: Ledger, table: str, runs: Sequence[ActiveRun]) -> dict[RunId, DomainEnd]:
    if not runs:
        return {}
    with ledger.session():
        rows = ledger.execute(
            f"SELECT id, run_id, status, reason, counts, {ledger.dialect.now_ms} - ended_at AS age "
            f"FROM {table} JOIN {ledger.dialect.batch({'run': 'text'})} AS item "
            "ON run_id = item_run WHERE ended_at IS NOT NULL",
            as_batch([{"run": run.run_id} for run in runs]),
        )
    return {RunId(row["run_id"]): _end(table, row) for row in rows}


def _end(table: str, row: Row) -> DomainEnd:
    outcome = Outcome(row["status"])
    given = Reason(row["reason"]) if row["reason"] else None
    # An end that is not whole says why, or that it does not say.
    reason = given or (None if outcome is Outcome.SUCCEEDED else Reason.UNKNOWN_ERROR)
    record = {"table": table, "id": row["id"], "status": row["status"], "reason": row["reason"]}
    return DomainEnd(
        outcome=outcome,
        reason=reason,
        evidence={"record": record},
        counts=json.loads(row["counts"]),
        age_s=row["age"] / 1000,
    )


def _duplicates(ledger: Ledger, runs: Sequence[ActiveRun]) -> dict[RunId, DomainEnd]:
    asked = [
        {"run": run.run_id, "schedule": run.context["schedule_id"], "moment": moment}
        for run in runs
        if run.status is Status.QUEUED and (moment := _slot_of(run)) is not None
    ]
    if not asked:
        return {}
    columns: Any = {"run": "text", "schedule": "text", "moment": "integer"}
    with ledger.session():
        rows = ledger.execute(
            "SELECT item_run AS run_id, run_id AS slot_run, slot_at, "
            f"{ledger.dialect.now_ms} - noted_at AS age FROM lastword_slot "
            f"JOIN {ledger.dialect.batch(columns)} AS item "
            "ON schedule_id = item_schedule AND slot_at = item_moment "
            f"WHERE result = '{SlotResult.STARTED}' AND run_id <> item_run",
            as_batch(asked),
        )
    return {
        RunId(row["run_id"]): DomainEnd(
            outcome=Outcome.BLOCKED,
            reason=Reason.INVALID_STATE,
            evidence={"slot": to_iso(row["slot_at"]), "slot_run": row["slot_run"]},
            age_s=row["age"] / 1000,
        )
        for row in rows
    }


def _slot_of(run: ActiveRun) -> int | None:
    slot = run.context.get("slot")
    if not isinstance(slot, str) or not isinstance(run.context.get("schedule_id"), str):
        return None
    return int(datetime.fromisoformat(slot).timestamp() * 1000)


def _end_open(ledger: Ledger, table: str) -> int:
    # What its run cannot tell any more: how far it came is in its counts, and somebody has to look.
    with ledger.transaction():
        rows = ledger.execute(
            f"UPDATE {table} SET status = '{RecordStatus.FAILED}', ended_at = "
            f"{ledger.dialect.now_ms}, reason = COALESCE((SELECT run.reason FROM lastword_run "
            f"AS run WHERE run.id = {table}.run_id), '{Reason.ADAPTER_OUT_OF_SYNC}') "
            # The one means the other; each table has its index of what is open by one of them.
            f"WHERE status = '{RecordStatus.RUNNING}' AND ended_at IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM lastword_run "
            f"AS run WHERE run.id = {table}.run_id AND run.completed_at IS NULL) RETURNING id"
        )
    return len(rows)
