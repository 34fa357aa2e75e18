"""The ledger of a restore: each item with its decision and how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from peewee import SQL, BigIntegerField, CharField, CompositeKey, IntegerField, Model, TextField

from lastword.reasons import Reason
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import Restore


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
