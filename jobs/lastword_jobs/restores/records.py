"""The ledger of a restore: each item with its decision and how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from peewee import SQL, BigIntegerField, CharField, CompositeKey, IntegerField, Model, TextField

from lastword.errors import InvalidInputs
from lastword.identity import new_run_id
from lastword.reasons import Reason
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import BackupSet, RecordStatus, Restore
from lastword_jobs.graph.contracts import BY_TYPE


class Decision(StrEnum):
    """What is to be done with an item."""

    CREATE = "create"
    UPDATE = "update"
    #: The target has it just so.
    UNCHANGED = "unchanged"
    #: A foundation of that name is there, and is used.
    MAPPED = "mapped_existing"
    #: Its type is shown and never written.
    PREVIEW_ONLY = "preview_only"
    #: Several have its name: nobody can say which is meant.
    AMBIGUOUS = "ambiguous"


class State(StrEnum):
    """How far an item has come."""

    PLANNED = "planned"
    #: It was asked to be created, and no answer is recorded.
    CREATE_SENT = "create_sent"
    #: It is there, with its settings; its assignments may not be.
    WRITTEN = "written"
    ASSIGNED = "assigned"
    #: It was read again, and is what it was to be.
    VERIFIED = "verified"
    SKIPPED = "skipped"
    FAILED = "failed"
    #: A person has to look.
    NEEDS_REVIEW = "needs_review"


#: States after which nothing more is done with an item.
DONE = frozenset({State.VERIFIED, State.SKIPPED, State.NEEDS_REVIEW, State.FAILED})


class RestoreItem(Model):
    """One object of a backup set that is to be written back."""

    restore_id = CharField(max_length=64)
    type = CharField(max_length=50)
    source_id = CharField(max_length=128)
    position = IntegerField()
    name = CharField(max_length=1024)
    version_id = CharField(max_length=64)
    decision = CharField(max_length=20)
    target_id = CharField(max_length=128, null=True)
    #: Of what the target had when it was previewed.
    target_hash = CharField(max_length=64, null=True)
    state = CharField(max_length=20)
    sent_at = BigIntegerField(null=True)
    reason = CharField(max_length=64, null=True)
    message = TextField(null=True)
    #: What becomes of its assignments: how many are applied, and why others are not.
    assignments = JsonText()
    changed_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_restore_item"
        primary_key = CompositeKey("restore_id", "type", "source_id")


def prepare_restore(
    ledger: Ledger,
    *,
    tenant_id: str,
    backup_set_id: str,
    types: Sequence[str] | None = None,
    mapping: dict[str, str] | None = None,
) -> str:
    """A restore that can be previewed; its id.

    Args:
        ledger: where it is kept.
        tenant_id: the tenant to write to; it may be another one than that of the set.
        backup_set_id: what to write back.
        types: only these; everything that the set holds if None.
        mapping: groups of the tenant by the ids that the set has for them.

    Raises:
        InvalidInputs: there is no such set, or it cannot be restored, or a type is unknown.
    """
    _require_restorable(ledger, backup_set_id, types or ())
    restore_id = new_run_id()
    with ledger.transaction():
        Restore.insert(
            id=restore_id,
            tenant_id=tenant_id,
            backup_set_id=backup_set_id,
            status=RecordStatus.PREVIEWED,
            selection=list(types) if types else None,
            mapping=mapping,
            counts={},
            created_at=SQL(ledger.dialect.now_ms),
        ).execute(ledger.database)
    return restore_id


def _require_restorable(ledger: Ledger, backup_set_id: str, types: Sequence[str]) -> None:
    with ledger.session():
        query = BackupSet.select().where(BackupSet.id == backup_set_id)
        found = query.first(ledger.database)
    usable = (RecordStatus.SUCCEEDED, RecordStatus.PARTIALLY_SUCCEEDED)
    if found is None or found.status not in usable or found.deleted_at is not None:
        seen = "unknown" if found is None else "deleted" if found.deleted_at else found.status
        raise InvalidInputs(
            f"backup set {backup_set_id!r} is {seen}", expected="one that ended well, or in part"
        )
    unknown = [type_ for type_ in types if type_ not in BY_TYPE]
    if unknown:
        raise InvalidInputs(f"unknown types {unknown!a}", expected=f"some of {', '.join(BY_TYPE)}")


def confirm_restore(ledger: Ledger, restore_id: str, *, fingerprint: str, by: str) -> None:
    """Somebody has seen the preview of this fingerprint and wants it done.

    Raises:
        InvalidInputs: there is no such restore, it was begun, or its preview is another one.
    """
    with ledger.transaction():
        moved = (
            Restore.update(confirmed_at=SQL(ledger.dialect.now_ms), confirmed_by=by)
            .where(
                (Restore.id == restore_id)
                & (Restore.status == RecordStatus.PREVIEWED)
                & (Restore.fingerprint == fingerprint)
            )
            .execute(ledger.database)
        )
    if not moved:
        raise InvalidInputs(
            f"restore {restore_id!r} has no preview {fingerprint[:12]!a} that waits for a word",
            mend="preview it, look at it, and confirm what you saw",
        )


def continue_restore(ledger: Ledger, restore_id: str) -> str:
    """A restore that goes on with one that ended before its work was done; its id.

    What was written is not written again. It is to be confirmed as the first one was: nothing
    repeats by itself.

    Raises:
        InvalidInputs: there is no such restore, or nothing is left to do.
    """
    with ledger.transaction():
        old = find_restore(ledger, restore_id)
        if old is None or old.ended_at is None or old.status == RecordStatus.SUCCEEDED:
            raise InvalidInputs(f"restore {restore_id!r} is none that ended with work left to do")
        new_id = new_run_id()
        Restore.insert(
            id=new_id,
            tenant_id=old.tenant_id,
            backup_set_id=old.backup_set_id,
            status=RecordStatus.PREVIEWED,
            continues=restore_id,
            selection=old.selection,
            mapping=old.mapping,
            fingerprint=old.fingerprint,
            counts={},
            created_at=SQL(ledger.dialect.now_ms),
        ).execute(ledger.database)
        for item in items_of(ledger, restore_id):
            values = {name: getattr(item, name) for name in RestoreItem._meta.sorted_field_names}
            if item.state == State.FAILED:
                values |= {"state": _stood(item), "reason": None, "message": None}
            RestoreItem.insert(**{**values, "restore_id": new_id}).execute(ledger.database)
    return new_id


def _stood(item: RestoreItem) -> State:
    # Where an item goes on that has failed. An update does no harm twice; what was asked to be
    # made may be there, whatever was answered, and is looked for first.
    if item.decision != Decision.CREATE:
        return State.PLANNED
    if item.target_id is not None:
        return State.WRITTEN
    return State.CREATE_SENT if item.sent_at is not None else State.PLANNED


def find_restore(ledger: Ledger, restore_id: str) -> Restore | None:
    """The restore of that id."""
    with ledger.session():
        found: Restore | None = (
            Restore.select().where(Restore.id == restore_id).first(ledger.database)
        )
    return found


def items_of(ledger: Ledger, restore_id: str) -> list[RestoreItem]:
    """The items of a restore, in the order in which they are written."""
    query = (
        RestoreItem.select()
        .where(RestoreItem.restore_id == restore_id)
        .order_by(RestoreItem.position)
    )
    with ledger.session():
        return list(query.execute(ledger.database))


def move_item(
    ledger: Ledger,
    item: RestoreItem,
    state: State,
    *,
    target_id: str | None = None,
    reason: Reason | None = None,
    message: str = "",
    assignments: dict[str, Any] | None = None,
) -> None:
    """An item has come this far; durable when this returns."""
    values: dict[str, Any] = {"state": state, "reason": reason, "message": message or None}
    if assignments is not None:
        values["assignments"] = item.assignments = assignments
    if target_id is not None:
        values["target_id"] = item.target_id = target_id
    now = SQL(ledger.dialect.now_ms)
    if state is State.CREATE_SENT:
        values["sent_at"] = now
    with ledger.transaction():
        RestoreItem.update(changed_at=now, **values).where(
            (RestoreItem.restore_id == item.restore_id)
            & (RestoreItem.type == item.type)
            & (RestoreItem.source_id == item.source_id)
        ).execute(ledger.database)
    item.state, item.reason, item.message = state, reason, message or None


def tally_of(items: Sequence[RestoreItem]) -> dict[str, int]:
    """What was done, from the ledger: each item counted once, however many attempts there were."""
    states = Counter(item.state for item in items)
    failed = states[State.FAILED] + states[State.NEEDS_REVIEW]
    verified = [item for item in items if item.state == State.VERIFIED]
    decisions = Counter(item.decision for item in verified)
    return {
        "total": len(items),
        "processed": len(verified) + failed + states[State.SKIPPED],
        "succeeded": len(verified),
        "failed": failed,
        "skipped": states[State.SKIPPED],
        "created": decisions[Decision.CREATE],
        "updated": decisions[Decision.UPDATE],
        "unchanged": decisions[Decision.UNCHANGED] + decisions[Decision.MAPPED],
        "assignments": sum(item.assignments.get("applied", 0) for item in verified),
    }
