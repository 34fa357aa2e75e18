"""The records of backups and restores. Their ends are facts of the domain, whoever reports them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from peewee import SQL, BigIntegerField, CharField, Model

from lastword.counts import Number, checked_counts
from lastword.identity import RunId, new_run_id
from lastword.reasons import Reason
from lastword.states import Outcome
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger


class RecordStatus(StrEnum):
    """How a record stands; the last three are ends."""

    #: A restore that was looked at, and not begun.
    PREVIEWED = "previewed"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    FAILED = "failed"


class _Record(Model):
    id = CharField(max_length=64, primary_key=True)
    tenant_id = CharField(max_length=64)
    status = CharField(max_length=30)
    reason = CharField(max_length=64, null=True)
    counts = JsonText()
    created_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)


class BackupSet(_Record):
    """What one backup captured. A slot of a schedule has one set, however often it is tried."""

    run_id = CharField(max_length=64)
    schedule_id = CharField(max_length=64, null=True)
    #: The slot as its run's context has it.
    slot = CharField(max_length=30, null=True)
    #: The types of what it holds.
    types = JsonText(null=True)
    #: When it was found to be one too many; what it holds stays until it is pruned.
    deleted_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_backup_set"


class Restore(_Record):
    """One writing back of a backup set; previewed before it is confirmed and begun."""

    backup_set_id = CharField(max_length=64)
    run_id = CharField(max_length=64, null=True)
    #: The restore that ended before its work was done, and that this one goes on with.
    continues = CharField(max_length=64, null=True)
    #: The types that are written back; null: all that the set holds.
    selection = JsonText(null=True)
    #: Groups of the target by the id that the set has for them, beside those of the same id.
    mapping = JsonText(null=True)
    #: Of the decisions that were previewed; null before they were.
    fingerprint = CharField(max_length=64, null=True)
    confirmed_at = BigIntegerField(null=True)
    confirmed_by = CharField(max_length=200, null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_restore"


def begin_backup_set(
    ledger: Ledger,
    *,
    run_id: RunId,
    tenant_id: str,
    schedule_id: str | None = None,
    slot: str | None = None,
    types: Sequence[str] | None = None,
) -> str:
    """The set of a slot, new or as an earlier attempt left it, now of this run; its id.

    A set that has ended stays as it is.
    """
    with ledger.transaction():
        set_id = new_run_id()
        BackupSet.insert(
            id=set_id,
            tenant_id=tenant_id,
            schedule_id=schedule_id,
            slot=slot,
            run_id=run_id,
            types=list(types) if types is not None else None,
            status=RecordStatus.RUNNING,
            counts={},
            created_at=SQL(ledger.dialect.now_ms),
        ).on_conflict_ignore().execute(ledger.database)
        of_slot = (BackupSet.schedule_id == schedule_id) & (BackupSet.slot == slot)
        mine = of_slot if slot is not None else BackupSet.run_id == run_id
        # The first there was: an earlier attempt's, which is gone on with.
        order = BackupSet.created_at, BackupSet.id
        found = BackupSet.select(BackupSet.id).where(mine).order_by(*order).first(ledger.database)
        BackupSet.delete().where((BackupSet.id == set_id) & (BackupSet.id != found.id)).execute(
            ledger.database
        )
        BackupSet.update(run_id=run_id).where(
            (BackupSet.id == found.id) & BackupSet.ended_at.is_null()
        ).execute(ledger.database)
    return str(found.id)


def preview_restore(ledger: Ledger, *, tenant_id: str, backup_set_id: str) -> str:
    """A restore that can be confirmed; its id."""
    restore_id = new_run_id()
    with ledger.transaction():
        Restore.insert(
            id=restore_id,
            tenant_id=tenant_id,
            backup_set_id=backup_set_id,
            status=RecordStatus.PREVIEWED,
            counts={},
            created_at=SQL(ledger.dialect.now_ms),
        ).execute(ledger.database)
    return restore_id


def begin_restore(ledger: Ledger, restore_id: str, *, run_id: RunId) -> bool:
    """A run begins with a restore that was previewed; False if it was begun before."""
    with ledger.transaction():
        moved = (
            Restore.update(status=RecordStatus.RUNNING, run_id=run_id)
            .where((Restore.id == restore_id) & (Restore.status == RecordStatus.PREVIEWED))
            .execute(ledger.database)
        )
    return bool(moved)


def end_record(
    ledger: Ledger,
    table: type[BackupSet] | type[Restore],
    record_id: str,
    outcome: Outcome,
    *,
    reason: Reason | None = None,
    counts: Mapping[str, Number] | None = None,
) -> bool:
    """Give a record its end; False if it has one. An end is never changed."""
    with ledger.transaction():
        moved = (
            table.update(
                status=RecordStatus(outcome),
                reason=reason,
                counts=checked_counts(counts or {}),
                ended_at=SQL(ledger.dialect.now_ms),
            )
            .where((table.id == record_id) & table.ended_at.is_null())
            .execute(ledger.database)
        )
    return bool(moved)
