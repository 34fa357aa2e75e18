"""The audit log: who did what to what, written in the transaction of what was done.

An action whose entry cannot be written is not done. What people were not let do is in it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lastword.states import Source
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, as_batch, as_json


class ActorKind(StrEnum):
    """What kind of somebody acts."""

    PERSON = "person"
    #: Whoever has a shell on a host of the installation.
    COMMAND_LINE = "command_line"
    RECONCILER = "reconciler"
    SCHEDULER = "scheduler"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.

    Attributes:
        kind: what kind of somebody.
        name: what people read.
        id: of the person; None for everybody else.
        request_id: the request it was done by, as the web's answer named it.
    """

    kind: ActorKind
    name: str
    id: str | None = None
    request_id: str | None = None


#: Application code that calls the service without saying on whose behalf.
SYSTEM = Actor(ActorKind.SYSTEM, "System")

SCHEDULER = Actor(ActorKind.SCHEDULER, "Scheduler")

#: The reconcilers, by the source under which they move runs.
RECONCILER_ACTORS: Mapping[Source, Actor] = {
    source: Actor(ActorKind.RECONCILER, name)
    for source, name in (
        (Source.SENTINEL, "Sentinel"),
        (Source.GENERIC, "Generic reconciler"),
        (Source.BACKUP_SCHEDULE, "Backup reconciler"),
        (Source.ADAPTER, "Restore reconciler"),
    )
}


class Result(StrEnum):
    """What became of it."""

    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log.

    Attributes:
        action: what was done, as `thing.verb`.
        target_kind: what kind of thing it was done to.
        target_id: which.
        reason: why it was done or denied, as a code.
        before: what was so before, as JSON values without secrets.
        after: what is so now.
    """

    action: str
    target_kind: str
    target_id: str | None = None
    result: Result = Result.DONE
    reason: str | None = None
    workspace_id: str | None = None
    tenant_id: str | None = None
    run_id: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


_COLUMNS: Mapping[str, ColumnType] = {
    "actor_kind": "text",
    "actor_id": "text",
    "actor_name": "text",
    "action": "text",
    "result": "text",
    "reason": "text",
    "target_kind": "text",
    "target_id": "text",
    "workspace_id": "text",
    "tenant_id": "text",
    "run_id": "text",
    "request_id": "text",
    "before": "text",
    "after": "text",
}


def write_audit(ledger: Ledger, actor: Actor, entries: Sequence[Entry]) -> None:
    """Add entries, in the transaction of the caller if there is one."""
    if not entries:
        return
    names = ", ".join(_COLUMNS)
    picked = ", ".join(f"item_{name}" for name in _COLUMNS)
    with ledger.transaction():
        ledger.execute(
            f"INSERT INTO lastword_audit (at, {names}) SELECT {ledger.dialect.now_ms}, {picked} "
            f"FROM {ledger.dialect.batch(_COLUMNS)} AS item",
            as_batch([_row(actor, entry) for entry in entries]),
        )
        for entry in entries:
            ledger.measure("audit_events", (entry.action, entry.result))


def _row(actor: Actor, entry: Entry) -> dict[str, Any]:
    return {
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name[:200],
        "request_id": actor.request_id,
        **{
            name: getattr(entry, name)
            for name in ("action", "result", "reason", "target_kind", "workspace_id", "tenant_id")
        },
        "run_id": entry.run_id,
        "target_id": None if entry.target_id is None else entry.target_id[:200],
        "before": None if entry.before is None else as_json(entry.before),
        "after": None if entry.after is None else as_json(entry.after),
    }
