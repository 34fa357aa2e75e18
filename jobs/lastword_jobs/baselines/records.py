"""Profiles say what is in scope, snapshots hold it without ids, findings tell what drifted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from peewee import (
    SQL,
    BigIntegerField,
    CharField,
    CompositeKey,
    IntegerField,
    Model,
    TextField,
)

from lastword.errors import InvalidInputs
from lastword.identity import canonical_json, new_run_id
from lastword.service.audit import SYSTEM, Actor, Entry, write_audit
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.contracts import BY_TYPE


class SnapshotStatus(StrEnum):
    """How a snapshot stands; that a later one took its place is derived."""

    BUILDING = "building"
    COMPLETE = "complete"
    #: Something in scope could not be read: nothing may be compared with it.
    INCOMPLETE = "incomplete"
    #: It was the same as the one before, which stays.
    DISCARDED = "discarded"


class BaselineProfile(Model):
    """What a workspace wants its tenants to be like."""

    id = CharField(max_length=64, primary_key=True)
    workspace_id = CharField(max_length=64)
    name = CharField(max_length=200)
    types = JsonText()
    #: `content`, or `meta`: without settings and assignments that are read apart.
    mode = CharField(max_length=20)
    active_snapshot_id = CharField(max_length=64, null=True)
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_baseline_profile"


class BaselineSnapshot(Model):
    """One capture of a profile; never changed once it has ended."""

    id = CharField(max_length=64, primary_key=True)
    profile_id = CharField(max_length=64)
    source_tenant_id = CharField(max_length=64)
    run_id = CharField(max_length=64)
    types = JsonText()
    mode = CharField(max_length=20)
    status = CharField(max_length=20)
    identity_hash = CharField(max_length=64, null=True)
    gaps = JsonText()
    created_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_baseline_snapshot"


class BaselineItem(Model):
    """A subject of a snapshot. Holds no tenant's ids."""

    snapshot_id = CharField(max_length=64)
    type = CharField(max_length=50)
    subject_key = CharField(max_length=1100)
    name = CharField(max_length=1024)
    content = TextField()
    content_hash = CharField(max_length=64)
    #: Objects of that name; more than one, and nobody can say which is which.
    copies = IntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_baseline_item"
        primary_key = CompositeKey("snapshot_id", "type", "subject_key")


class Finding(Model):
    """Something that is not as a baseline has it."""

    id = CharField(max_length=64, primary_key=True)
    workspace_id = CharField(max_length=64, null=True)
    tenant_id = CharField(max_length=64)
    profile_id = CharField(max_length=64)
    snapshot_id = CharField(max_length=64)
    #: By what it is the same finding when it is found again.
    recurrence_key = CharField(max_length=64)
    source = CharField(max_length=50)
    #: The part of the policy: a `Part`.
    kind = CharField(max_length=50)
    #: `missing`, `unexpected` or `different`.
    change = CharField(max_length=20)
    type = CharField(max_length=50)
    name = CharField(max_length=1024)
    severity = CharField(max_length=20)
    detail = JsonText()
    detail_hash = CharField(max_length=64)
    version_id = CharField(max_length=64, null=True)
    #: `open`, `accepted` or `resolved`.
    status = CharField(max_length=20)
    run_id = CharField(max_length=64)
    first_seen_at = BigIntegerField()
    last_seen_at = BigIntegerField()
    accepted_at = BigIntegerField(null=True)
    resolved_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_finding"


def add_profile(
    ledger: Ledger,
    *,
    workspace_id: str,
    name: str,
    types: Sequence[str],
    mode: str = "content",
    actor: Actor = SYSTEM,
) -> str:
    """A new profile; its id.

    Raises:
        InvalidInputs: a type or the mode is unknown, or the name is taken or none.
    """
    _require_profile(name, types, mode)
    profile_id = new_run_id()
    with ledger.transaction():
        added = (
            BaselineProfile.insert(
                id=profile_id,
                workspace_id=workspace_id,
                name=name,
                types=sorted(set(types)),
                mode=mode,
                created_at=SQL(ledger.dialect.now_ms),
            )
            .on_conflict_ignore()
            .as_rowcount()
            .execute(ledger.database)
        )
        if added:
            told = {"name": name, "types": sorted(set(types)), "mode": mode}
            entry = Entry("baseline.add", "baseline", profile_id, after=told)
            write_audit(ledger, actor, [replace(entry, workspace_id=workspace_id)])
    if not added:
        raise InvalidInputs(f"workspace {workspace_id!r} has a profile {name!r} already")
    return profile_id


def _require_profile(name: str, types: Sequence[str], mode: str) -> None:
    unknown = [type_ for type_ in types if type_ not in BY_TYPE]
    if unknown or not types:
        raise InvalidInputs(f"types are {list(types)!a}", expected=f"some of {', '.join(BY_TYPE)}")
    if mode not in ("content", "meta"):
        raise InvalidInputs(f"mode is {mode!a}", expected="content or meta")
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise InvalidInputs(f"name {name[:200]!a}", expected="1 to 200 printable characters")


def find_profile(ledger: Ledger, profile_id: str) -> BaselineProfile | None:
    """The profile of that id."""
    query = BaselineProfile.select().where(BaselineProfile.id == profile_id)
    with ledger.session():
        found: BaselineProfile | None = query.first(ledger.database)
    return found


def find_snapshot(ledger: Ledger, snapshot_id: str) -> BaselineSnapshot | None:
    """The snapshot of that id."""
    query = BaselineSnapshot.select().where(BaselineSnapshot.id == snapshot_id)
    with ledger.session():
        found: BaselineSnapshot | None = query.first(ledger.database)
    return found


def hash_of(value: object) -> str:
    """The sha256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode(errors="replace")).hexdigest()
