"""The operations' own records: what was last seen of each tenant's policies and other objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from peewee import SQL, BigIntegerField, BooleanField, CharField, CompositeKey, Model

from lastword.identity import canonical_json
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.graph.exchanges import Json

#: Properties that are kept of an object; the rest is left with the provider.
KEPT = (
    "@odata.type",
    "description",
    "platforms",
    "platform",
    "technologies",
    "settingCount",
    "version",
    "createdDateTime",
    "lastModifiedDateTime",
    "roleScopeTagIds",
    "rule",
)


class _Seen(Model):
    tenant_id = CharField(max_length=64)
    type = CharField(max_length=50)
    external_id = CharField(max_length=128)
    name = CharField(max_length=1024)
    meta = JsonText()
    meta_hash = CharField(max_length=64)
    last_seen_run = CharField(max_length=64)
    seen_at = BigIntegerField()


class InventoryItem(_Seen):
    """Any object of a tenant, as an inventory sync last saw it."""

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_inventory_item"
        primary_key = CompositeKey("tenant_id", "type", "external_id")


class Policy(_Seen):
    """A policy of a tenant, as a policy sync last saw it; `missing` when it was not listed."""

    missing = BooleanField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_policy"
        primary_key = CompositeKey("tenant_id", "type", "external_id")


@dataclass(frozen=True, slots=True)
class Upserted:
    """What a page of objects changed."""

    created: int
    updated: int
    unchanged: int

    @property
    def items(self) -> int:
        """The objects of the page, each counted once."""
        return self.created + self.updated + self.unchanged


def upsert(
    ledger: Ledger,
    table: type[_Seen],
    entities: Sequence[Json],
    *,
    contract: Contract,
    tenant_id: str,
    run_id: str,
) -> Upserted:
    """Record a page of objects in one transaction. Doing it again changes nothing."""
    # One id twice in a page, as delta pages may have it: the later one stands.
    name_key = contract.name_key
    seen = {str(item["id"]): kept_row(item, name_key=name_key, kept=KEPT) for item in entities}
    fixed = {"tenant_id": tenant_id, "type": contract.type, "last_seen_run": run_id}
    with ledger.transaction():
        before = _hashes(ledger, table, contract, tenant_id, list(seen))
        if seen:
            rows = [
                {**fixed, **row, "seen_at": SQL(ledger.dialect.now_ms), **_extra(table)}
                for row in seen.values()
            ]
            key = [table.tenant_id, table.type, table.external_id]
            changed = [field for name, field in table._meta.fields.items() if name not in _KEY]
            query = table.insert_many(rows).on_conflict(conflict_target=key, preserve=changed)
            query.execute(ledger.database)
    created = sum(1 for external_id in seen if external_id not in before)
    unchanged = sum(
        1 for external_id, row in seen.items() if before.get(external_id) == row["meta_hash"]
    )
    return Upserted(created, len(seen) - created - unchanged, unchanged)


def readable(entities: Sequence[object]) -> list[Json]:
    """Those of a page that are objects with an id."""
    return [
        entity
        for entity in entities
        if isinstance(entity, dict) and isinstance(entity.get("id"), str) and entity["id"]
    ]


def moment_ms(ledger: Ledger) -> int:
    """The moment by the database's clock, as `seen_at` has it."""
    with ledger.session():
        [row] = ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now_ms")
    return int(row["now_ms"])


def mark_missing(
    ledger: Ledger, *, contract: Contract, tenant_id: str, run_id: str, since_ms: int
) -> int:
    """Policies of a type that a listing did not hold are missing now; how many became so.

    Args:
        ledger: where they are recorded.
        contract: the type.
        tenant_id: the tenant.
        run_id: the run that listed them.
        since_ms: when the listing began: an earlier attempt of the run may have seen more.
    """
    with ledger.transaction():
        query = Policy.update(missing=True).where(
            (Policy.tenant_id == tenant_id)
            & (Policy.type == contract.type)
            & ((Policy.last_seen_run != run_id) | (Policy.seen_at < since_ms))
            & (Policy.missing == False)  # noqa: E712 - an SQL expression
        )
        return int(query.execute(ledger.database))


_KEY = ("tenant_id", "type", "external_id")


def _extra(table: type[_Seen]) -> dict[str, bool]:
    return {"missing": False} if table is Policy else {}


def kept_row(entity: Json, *, name_key: str, kept: Sequence[str]) -> dict[str, object]:
    """What is recorded of an object that was seen: its id and name, and of the rest what is kept.

    Args:
        entity: the object, as the provider gave it.
        name_key: the property that holds its name.
        kept: properties that are kept; the rest is left with the provider.
    """
    name = str(entity.get(name_key) or "")
    meta = {key: entity[key] for key in kept if key in entity}
    # JSON may hold half a surrogate pair, which is no UTF-8, and NUL, which PostgreSQL refuses.
    text = canonical_json([name.replace("\0", "?"), meta]).encode(errors="replace")
    name, meta = json.loads(text)
    return {
        "external_id": str(entity["id"]),
        "name": name[:1024],
        "meta": meta,
        "meta_hash": hashlib.sha256(text).hexdigest(),
    }


def _hashes(
    ledger: Ledger, table: type[_Seen], contract: Contract, tenant_id: str, ids: Sequence[str]
) -> dict[str, str]:
    if not ids:
        return {}
    query = table.select(table.external_id, table.meta_hash).where(
        (table.tenant_id == tenant_id) & (table.type == contract.type) & table.external_id.in_(ids)
    )
    return dict(query.tuples().execute(ledger.database))
