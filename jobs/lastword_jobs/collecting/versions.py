"""Versions: what an object was each time that its content had changed. Never changed themselves."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import SQL, BigIntegerField, CharField, IntegerField, Model, TextField

from lastword.identity import new_run_id
from lastword.storage.ledger import Ledger, as_json
from lastword_jobs.content.documents import Captured, Content


class Version(Model):
    """One content of one object of a tenant."""

    id = CharField(max_length=64, primary_key=True)
    tenant_id = CharField(max_length=64)
    type = CharField(max_length=50)
    external_id = CharField(max_length=128)
    #: From 1, per object.
    number = IntegerField()
    name = CharField(max_length=1024)
    #: As it was read, and as it is compared: JSON.
    captured = TextField()
    content = TextField()
    content_hash = CharField(max_length=64)
    run_id = CharField(max_length=64)
    created_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_version"


@dataclass(frozen=True, slots=True)
class Kept:
    """The version that an object has now.

    Attributes:
        is_new: whether its content differs from that of the version before.
        size: bytes of what was read.
    """

    version_id: str
    is_new: bool
    size: int


def keep_version(
    ledger: Ledger, captured: Captured, content: Content, *, tenant_id: str, run_id: str
) -> Kept:
    """The latest version if it has this content, else a new one. Call it in a transaction."""
    text = as_json(captured.document())
    digest = content.fingerprint_of_all
    size = len(text.encode())
    mine = (
        (Version.tenant_id == tenant_id)
        & (Version.type == captured.type)
        & (Version.external_id == captured.external_id)
    )
    latest = (
        Version.select(Version.id, Version.number, Version.content_hash)
        .where(mine)
        .order_by(Version.number.desc())
        .first(ledger.database)
    )
    if latest is not None and latest.content_hash == digest:
        return Kept(latest.id, is_new=False, size=size)
    version_id = new_run_id()
    Version.insert(
        id=version_id,
        tenant_id=tenant_id,
        type=captured.type,
        external_id=captured.external_id,
        number=latest.number + 1 if latest else 1,
        name=storable_name(captured.name),
        captured=text,
        content=as_json(content.document()),
        content_hash=digest,
        run_id=run_id,
        created_at=SQL(ledger.dialect.now_ms),
    ).execute(ledger.database)
    return Kept(version_id, is_new=True, size=size)


def storable_name(name: str) -> str:
    """A name as every database can hold it, and a person can still read it."""
    return name.replace("\0", "?").encode(errors="replace").decode()[:1024]
