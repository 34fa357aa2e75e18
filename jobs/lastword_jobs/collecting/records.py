"""What an owner has collected: each object with what became of it, so that a resume knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from peewee import BigIntegerField, CharField, CompositeKey, Model, TextField

from lastword.reasons import Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.collecting.versions import storable_name
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.graph.exchanges import Json

#: Rows in one statement; some SQLite builds take no more than 999 values.
MOST_ROWS = 100


class Taking(StrEnum):
    """What became of an object."""

    #: Listed, and not read yet.
    OPEN = "open"
    TAKEN = "taken"
    #: It was gone when it was to be read.
    SKIPPED = "skipped"
    FAILED = "failed"


class Collected(Model):
    """An object that an owner's collection holds."""

    owner_id = CharField(max_length=64)
    type = CharField(max_length=50)
    external_id = CharField(max_length=128)
    name = CharField(max_length=1024)
    state = CharField(max_length=20)
    reason = CharField(max_length=64, null=True)
    message = TextField(null=True)
    version_id = CharField(max_length=64, null=True)
    #: Values that the provider hides, sealed: JSON of a text by OMA-URI.
    secrets = TextField(null=True)
    bytes = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_collected"
        primary_key = CompositeKey("owner_id", "type", "external_id")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one object."""

    external_id: str
    state: Taking
    reason: Reason | None = None
    message: str = ""
    version_id: str | None = None
    secrets: str | None = None
    size: int = 0


def note_listed(
    ledger: Ledger, owner_id: str, contract: Contract, entities: Sequence[Json]
) -> None:
    """These are to be read. Call it in a transaction; doing it again changes nothing."""
    rows = [
        {
            "owner_id": owner_id,
            "type": contract.type,
            "external_id": str(entity["id"]),
            "name": storable_name(str(entity.get(contract.name_key) or "")),
            "state": Taking.OPEN,
            "bytes": 0,
        }
        for entity in {str(entity["id"]): entity for entity in entities}.values()
    ]
    for start in range(0, len(rows), MOST_ROWS):
        query = Collected.insert_many(rows[start : start + MOST_ROWS])
        query.on_conflict_ignore().execute(ledger.database)


def note_taken(ledger: Ledger, owner_id: str, type_: str, taken: Taken) -> None:
    """One of them was read, or cannot be. Call it in a transaction."""
    Collected.update(
        state=taken.state,
        reason=taken.reason,
        message=taken.message or None,
        version_id=taken.version_id,
        secrets=taken.secrets,
        bytes=taken.size,
    ).where(
        (Collected.owner_id == owner_id)
        & (Collected.type == type_)
        & (Collected.external_id == taken.external_id)
        & (Collected.state == Taking.OPEN)
    ).execute(ledger.database)


def open_ids(ledger: Ledger, owner_id: str, type_: str) -> list[str]:
    """What is still to be read of a type."""
    query = (
        Collected.select(Collected.external_id)
        .where(
            (Collected.owner_id == owner_id)
            & (Collected.type == type_)
            & (Collected.state == Taking.OPEN)
        )
        .order_by(Collected.external_id)
    )
    with ledger.session():
        return [row.external_id for row in query.execute(ledger.database)]


def collected_of(ledger: Ledger, owner_id: str) -> list[Collected]:
    """Everything that an owner has collected, by type and name."""
    query = (
        Collected.select()
        .where(Collected.owner_id == owner_id)
        .order_by(Collected.type, Collected.name, Collected.external_id)
    )
    with ledger.session():
        return list(query.execute(ledger.database))


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a collection has come.

    Attributes:
        states: objects in each state.
        size: bytes that were read.
        created: versions that were new.
    """

    states: Counter[str]
    size: int
    created: int


def tally(ledger: Ledger, owner_id: str, run_id: str) -> Tally:
    """How far an owner's collection has come, in all attempts of the run."""
    param = ledger.dialect.param
    with ledger.session():
        rows = ledger.execute(
            "SELECT state, COUNT(*) AS objects, SUM(bytes) AS bytes, "
            f"SUM(CASE WHEN version.run_id = {param} THEN 1 ELSE 0 END) AS created "
            "FROM lastword_jobs_collected AS item "
            "LEFT JOIN lastword_jobs_version AS version ON version.id = item.version_id "
            f"WHERE owner_id = {param} GROUP BY state",
            run_id,
            owner_id,
        )
    return Tally(
        states=Counter({row["state"]: int(row["objects"]) for row in rows}),
        size=sum(int(row["bytes"]) for row in rows),
        created=sum(int(row["created"]) for row in rows),
    )
