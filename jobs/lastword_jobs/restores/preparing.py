"""Before a restore is begun: it is prepared, confirmed by somebody, or goes on with another one."""

from __future__ import annotations

from collections.abc import Sequence

from peewee import SQL

from lastword.errors import InvalidInputs
from lastword.identity import new_run_id
from lastword.service.audit import SYSTEM, Actor, ActorKind
from lastword.service.tenants import audit_on_tenant
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import BackupSet, RecordStatus, Restore
from lastword_jobs.graph.contracts import BY_TYPE
from lastword_jobs.restores.records import (
    Decision,
    RestoreItem,
    State,
    find_restore,
    items_of,
)


def prepare_restore(
    ledger: Ledger,
    *,
    tenant_id: str,
    backup_set_id: str,
    types: Sequence[str] | None = None,
    mapping: dict[str, str] | None = None,
    actor: Actor = SYSTEM,
) -> str:
    """A restore that can be previewed; its id.

    Args:
        ledger: where it is kept.
        tenant_id: the tenant to write to; it may be another one than that of the set.
        backup_set_id: what to write back.
        types: only these; everything that the set holds if None.
        mapping: groups of the tenant by the ids that the set has for them.
        actor: who prepares it.

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
        told = {"backup_set_id": backup_set_id}
        audit_on_tenant(
            ledger, actor, "restore.prepare", "restore", restore_id, tenant_id=tenant_id, after=told
        )
    return restore_id


def confirm_restore(
    ledger: Ledger, restore_id: str, *, fingerprint: str, by: str, actor: Actor | None = None
) -> None:
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
        if moved:
            told = {"fingerprint": fingerprint}
            actor = actor or Actor(ActorKind.SYSTEM, by)
            tenant_id = _tenant_of(ledger, restore_id)
            audit_on_tenant(
                ledger,
                actor,
                "restore.confirm",
                "restore",
                restore_id,
                tenant_id=tenant_id,
                after=told,
            )
    if not moved:
        raise InvalidInputs(
            f"restore {restore_id!r} has no preview {fingerprint[:12]!a} that waits for a word",
            mend="preview it, look at it, and confirm what you saw",
        )


def continue_restore(ledger: Ledger, restore_id: str, *, actor: Actor = SYSTEM) -> str:
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
        _take_over(ledger, restore_id, new_id)
        told = {"continues": restore_id}
        audit_on_tenant(
            ledger,
            actor,
            "restore.continue",
            "restore",
            new_id,
            tenant_id=old.tenant_id,
            after=told,
        )
    return new_id


def _take_over(ledger: Ledger, restore_id: str, new_id: str) -> None:
    for item in items_of(ledger, restore_id):
        values = {name: getattr(item, name) for name in RestoreItem._meta.sorted_field_names}
        if item.state == State.FAILED:
            values |= {"state": _stood(item), "reason": None, "message": None}
        RestoreItem.insert(**{**values, "restore_id": new_id}).execute(ledger.database)


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


def _tenant_of(ledger: Ledger, restore_id: str) -> str:
    found = find_restore(ledger, restore_id)
    assert found is not None, "it was just written"
    return str(found.tenant_id)


def _stood(item: RestoreItem) -> State:
    # Where an item goes on that has failed. An update does no harm twice; what was asked to be
    # made may be there, whatever was answered, and is looked for first.
    if item.decision != Decision.CREATE:
        return State.PLANNED
    if item.target_id is not None:
        return State.WRITTEN
    return State.CREATE_SENT if item.sent_at is not None else State.PLANNED
