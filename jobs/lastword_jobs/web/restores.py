"""Restores: prepared from a backup set, previewed, confirmed by somebody, only then executed."""

from __future__ import annotations

from collections import Counter

from starlette.responses import Response

from lastword.access import Capability
from lastword.errors import InvalidInputs
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword.web.starts import start_here
from lastword_jobs.backups import BackupSet, RecordStatus, Restore
from lastword_jobs.graph.contracts import ALL_TYPES
from lastword_jobs.restores.preparing import confirm_restore, continue_restore, prepare_restore
from lastword_jobs.restores.records import items_of
from lastword_jobs.web.lists import chosen_types, find_here, latest, path_of

OPERATION = "restore.execute"

_USABLE = (RecordStatus.SUCCEEDED, RecordStatus.PARTIALLY_SUCCEEDED)


def restores(asked: Asked) -> Response:
    """The restores of the tenant, and the sets that one may be made from."""
    ledger, tenant_id = asked.ledger, asked.here.tenant_id
    usable = BackupSet.status.in_(_USABLE) & BackupSet.deleted_at.is_null()
    newest = [BackupSet.created_at.desc(), BackupSet.id.desc()]
    return tenant_page(
        asked,
        "restores.html",
        fields=frozenset({"set"}),
        restores=latest(
            ledger, Restore, tenant_id, order=[Restore.created_at.desc(), Restore.id.desc()]
        ),
        sets=latest(ledger, BackupSet, tenant_id, order=newest, where=usable),
        chosen=asked.query.text("set", longest=64),
        types=ALL_TYPES,
    )


def prepare(asked: Asked) -> Response:
    """Prepare a restore; nothing is read or written yet."""
    asked.form.only({"set", "type"})
    found = find_here(asked, BackupSet, asked.form.required("set", longest=64))
    restore_id = prepare_restore(
        asked.ledger,
        tenant_id=asked.here.tenant_id,
        backup_set_id=found["id"],
        types=chosen_types(asked),
        actor=asked.actor,
    )
    return asked.go(_page_of(asked, restore_id))


def restore(asked: Asked) -> Response:
    """One restore: what would be done with each object, and how far it has come."""
    found = find_here(asked, Restore, str(asked.path["restore"]))
    items = items_of(asked.ledger, found["id"])
    return tenant_page(
        asked,
        "restore.html",
        restore=found,
        items=items,
        decisions=sorted(Counter(item.decision for item in items).items()),
        step=_step(found),
    )


def preview(asked: Asked) -> Response:
    """Look at what would be done; nothing is written."""
    asked.form.only(set())
    found = find_here(asked, Restore, str(asked.path["restore"]))
    inputs = {"restore_id": found["id"], "dry_run": True}
    return start_here(asked, OPERATION, inputs, back=_page_of(asked, found["id"]))


def confirm(asked: Asked) -> Response:
    """Somebody has seen the preview and wants just that."""
    asked.form.only({"fingerprint", "name"})
    found = find_here(asked, Restore, str(asked.path["restore"]))
    # Typed by hand, so that nobody confirms a restore into the wrong tenant.
    name = asked.form.required("name")
    if name != asked.here.name:
        raise InvalidInputs(
            f"the name {name!a} is not this tenant's",
            expected=repr(asked.here.name),
            mend="type the name of the tenant that is written to",
        )
    confirm_restore(
        asked.ledger,
        found["id"],
        fingerprint=asked.form.required("fingerprint", longest=64),
        by=asked.person.user_id,
        actor=asked.actor,
    )
    return asked.go(_page_of(asked, found["id"]))


def execute(asked: Asked) -> Response:
    """Write back what was confirmed."""
    asked.form.only({"fingerprint"})
    found = find_here(asked, Restore, str(asked.path["restore"]))
    fingerprint = asked.form.required("fingerprint", longest=64)
    inputs = {"restore_id": found["id"], "fingerprint": fingerprint}
    return start_here(asked, OPERATION, inputs, back=_page_of(asked, found["id"]))


def go_on(asked: Asked) -> Response:
    """Prepare a restore that goes on with one that ended before its work was done."""
    asked.form.only(set())
    found = find_here(asked, Restore, str(asked.path["restore"]))
    new_id = continue_restore(asked.ledger, found["id"], actor=asked.actor)
    return asked.go(_page_of(asked, new_id))


def _step(found: dict[str, object]) -> str:
    """What a restore waits for: `preview`, `confirm`, `execute`, `wait`, `continue` or nothing."""
    if found["ended_at"] is not None:
        return "done" if found["status"] == RecordStatus.SUCCEEDED else "continue"
    if found["status"] != RecordStatus.PREVIEWED:
        return "wait"
    if found["fingerprint"] is None:
        return "preview"
    return "confirm" if found["confirmed_at"] is None else "execute"


def _page_of(asked: Asked, restore_id: str) -> str:
    return f"{path_of(asked, 'restores')}/{restore_id}"


_ONE = "/admin/t/{tenant}/restores/{restore}"

ENTRIES = (
    Entry("/admin/t/{tenant}/restores", restores),
    Entry("/admin/t/{tenant}/restores", prepare, "POST", Capability.RESTORE),
    Entry(_ONE, restore),
    Entry(f"{_ONE}/preview", preview, "POST", Capability.RESTORE),
    Entry(f"{_ONE}/confirm", confirm, "POST", Capability.RESTORE),
    Entry(f"{_ONE}/execute", execute, "POST", Capability.RESTORE),
    Entry(f"{_ONE}/continue", go_on, "POST", Capability.RESTORE),
)
