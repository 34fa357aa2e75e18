"""Checkpoints by type: what a run, or what it works for, has finished with, so that it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from peewee import CharField, CompositeKey, Model, TextField

from lastword.counts import Number
from lastword.reasons import Reason
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger


class Listing(StrEnum):
    """How the listing of a type ended."""

    LISTED = "listed"
    FAILED = "failed"


class Collection(Model):
    """A type of object that was listed to its end, or refused, for an owner."""

    owner_id = CharField(max_length=64)
    type = CharField(max_length=50)
    state = CharField(max_length=20)
    reason = CharField(max_length=64, null=True)
    message = TextField(null=True)
    counts = JsonText()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_collection"
        primary_key = CompositeKey("owner_id", "type")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What became of one type.

    Attributes:
        state: how its listing ended.
        reason: why, if it was refused or is not whole.
        message: an operator-safe detail of that.
        counts: what was counted meanwhile.
    """

    state: Listing
    reason: Reason | None = None
    message: str = ""
    counts: Mapping[str, Number] = field(default_factory=dict)


def damaged(objects: int) -> Checkpoint:
    """A listing that was read to its end; so many of its objects were none."""
    if not objects:
        return Checkpoint(Listing.LISTED)
    message = f"{objects} objects without an id were left out."
    return Checkpoint(Listing.LISTED, Reason.INVALID_STATE, message)


def checkpoints_of(ledger: Ledger, owner_id: str) -> dict[str, Checkpoint]:
    """What is done already for an owner, by type."""
    query = Collection.select().where(Collection.owner_id == owner_id)
    with ledger.session():
        rows = list(query.execute(ledger.database))
    return {
        row.type: Checkpoint(
            state=Listing(row.state),
            reason=Reason(row.reason) if row.reason else None,
            message=row.message or "",
            counts=row.counts,
        )
        for row in rows
    }


def keep_checkpoint(ledger: Ledger, owner_id: str, type_: str, checkpoint: Checkpoint) -> None:
    """A type is done with. Call it in the transaction of the last thing that was done for it."""
    with ledger.transaction():
        Collection.insert(
            owner_id=owner_id,
            type=type_,
            state=checkpoint.state,
            reason=checkpoint.reason,
            message=checkpoint.message or None,
            counts=dict(checkpoint.counts),
        ).on_conflict_ignore().execute(ledger.database)
