"""What was seen of a directory: groups and roles by id, with what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import SQL, BigIntegerField, BooleanField, CharField, CompositeKey, Model

from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.exchanges import Json
from lastword_jobs.records import Upserted, kept_row

#: Milliseconds for which something that is gone is still known by name.
PURGED_AFTER_MS = 90 * 24 * 3600 * 1000

#: Ids in one statement at most; some SQLite builds take no more than 999 values.
MOST_IDS = 500


class _Known(Model):
    tenant_id = CharField(max_length=64)
    external_id = CharField(max_length=128)
    name = CharField(max_length=1024)
    meta = JsonText()
    meta_hash = CharField(max_length=64)
    #: When it was found to be gone; null while it is there.
    deleted_at = BigIntegerField(null=True)
    last_seen_run = CharField(max_length=64)
    seen_at = BigIntegerField()


class Group(_Known):
    """A group. Who is in it is not recorded."""

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_group"
        primary_key = CompositeKey("tenant_id", "external_id")


class RoleDefinition(_Known):
    """A directory role: built in, or a tenant's own."""

    built_in = BooleanField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_role"
        primary_key = CompositeKey("tenant_id", "external_id")


def upsert_known(
    ledger: Ledger,
    table: type[Group] | type[RoleDefinition],
    entities: Sequence[Json],
    *,
    kept: Sequence[str],
    tenant_id: str,
    run_id: str,
) -> Upserted:
    """Record a page of them. Doing it again changes nothing; call it in a transaction.

    Args:
        ledger: where.
        table: of what kind they are.
        entities: sound objects, as the provider gave them; of one that is there twice, the later.
        kept: properties that are kept; the rest is left with the provider.
        tenant_id: whose they are.
        run_id: who saw them.
    """
    rows = {str(e["id"]): kept_row(e, name_key="displayName", kept=kept) for e in entities}
    before = _hashes(ledger, table, tenant_id, list(rows))
    fixed = {"tenant_id": tenant_id, "last_seen_run": run_id, "deleted_at": None}
    seen_at = SQL(ledger.dialect.now_ms)
    values: list[dict[str, Any]] = [{**fixed, **row, "seen_at": seen_at} for row in rows.values()]
    if table is RoleDefinition:
        for value, entity in zip(values, {str(e["id"]): e for e in entities}.values(), strict=True):
            value["built_in"] = entity.get("isBuiltIn") is True
    if values:
        fields = [field for name, field in table._meta.fields.items() if name not in _KEY]
        table.insert_many(values).on_conflict(
            conflict_target=[table.tenant_id, table.external_id], preserve=fields
        ).execute(ledger.database)
    created = sum(1 for id_ in rows if id_ not in before)
    same = sum(1 for id_, row in rows.items() if before.get(id_) == row["meta_hash"])
    return Upserted(created, len(rows) - created - same, same)


def mark_deleted(
    ledger: Ledger, table: type[Group], tenant_id: str, ids: Sequence[str], run_id: str
) -> int:
    """These are gone; how many of them were there. Call it in a transaction."""
    gone = 0
    for start in range(0, len(ids), MOST_IDS):
        query = table.update(deleted_at=SQL(ledger.dialect.now_ms), last_seen_run=run_id).where(
            (table.tenant_id == tenant_id)
            & table.external_id.in_(ids[start : start + MOST_IDS])
            & table.deleted_at.is_null()
        )
        gone += int(query.execute(ledger.database))
    return gone


def mark_unseen(
    ledger: Ledger, table: type[Group] | type[RoleDefinition], tenant_id: str, run_id: str
) -> int:
    """What a whole listing did not hold is gone; how many became so. Call it in a transaction."""
    query = table.update(deleted_at=SQL(ledger.dialect.now_ms)).where(
        (table.tenant_id == tenant_id)
        & (table.last_seen_run != run_id)
        & table.deleted_at.is_null()
    )
    return int(query.execute(ledger.database))


def purge(ledger: Ledger, table: type[Group] | type[RoleDefinition], tenant_id: str) -> int:
    """Forget what has been gone for long; how many. Call it in a transaction."""
    old = SQL(f"{ledger.dialect.now_ms} - {PURGED_AFTER_MS}")
    query = table.delete().where((table.tenant_id == tenant_id) & (table.deleted_at < old))
    return int(query.execute(ledger.database))


def group_names(ledger: Ledger, tenant_id: str, ids: Sequence[str]) -> dict[str, str]:
    """The names of groups, of those that are known. One that is gone is known for a while."""
    names: dict[str, str] = {}
    wanted = sorted(set(ids))
    with ledger.session():
        for start in range(0, len(wanted), MOST_IDS):
            query = Group.select(Group.external_id, Group.name).where(
                (Group.tenant_id == tenant_id)
                & Group.external_id.in_(wanted[start : start + MOST_IDS])
            )
            names.update(dict(query.tuples().execute(ledger.database)))
    return names


_KEY = ("tenant_id", "external_id")


def _hashes(
    ledger: Ledger,
    table: type[Group] | type[RoleDefinition],
    tenant_id: str,
    ids: Sequence[str],
) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), MOST_IDS):
        query = table.select(table.external_id, table.meta_hash).where(
            (table.tenant_id == tenant_id)
            & table.external_id.in_(ids[start : start + MOST_IDS])
            & table.deleted_at.is_null()
        )
        found.update(dict(query.tuples().execute(ledger.database)))
    return found
