"""A tenant in memory: its objects by collection, what hangs on each, and its log of groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_URL, uuid5

Entity = dict[str, Any]


class Size(StrEnum):
    """How much a tenant holds."""

    S = "S"
    M = "M"
    L = "L"


class Removal(StrEnum):
    """How a group went: `changed` may be restored, `deleted` may not."""

    CHANGED = "changed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A line of the log that delta queries are answered from."""

    group_id: str
    removal: Removal | None = None


@dataclass(slots=True)
class Tenant:
    """One tenant.

    Attributes:
        tenant_id: its id.
        size: how much it was seeded with; decides its directory limits.
        generation: counts its seeds; a delta token of another one is worth nothing.
        collections: its objects in the order in which they are listed.
        settings: the settings of a policy, by the policy's id.
        assignments: the assignments of a policy, by the policy's id.
        actions: the scheduled actions of a compliance policy, by the policy's id.
        secrets: plain values behind encrypted settings, by their reference.
        documents: single documents such as summaries, by path.
        changes: the log of groups, oldest first.
        born: when an object was created here, by id, in Unix seconds.
        created: objects created so far; their ids follow from it.
    """

    tenant_id: str
    size: Size = Size.S
    generation: int = 0
    collections: dict[str, list[Entity]] = field(default_factory=dict)
    settings: dict[str, list[Entity]] = field(default_factory=dict)
    assignments: dict[str, list[Entity]] = field(default_factory=dict)
    actions: dict[str, list[Entity]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    documents: dict[str, Entity] = field(default_factory=dict)
    changes: list[GroupChange] = field(default_factory=list)
    born: dict[str, float] = field(default_factory=dict)
    created: int = 0

    def found(self, collection: str, entity_id: str) -> Entity | None:
        """The object with this id."""
        entities = self.collections.get(collection, [])
        return next((entity for entity in entities if entity["id"] == entity_id), None)

    def new_id(self, *names: str) -> str:
        """An id that the same history gives again."""
        self.created += 1
        return stable_id(self.tenant_id, *names, "created", str(self.created))

    def add(self, collection: str, entity: Entity, *, now_s: float) -> None:
        """Append a new object."""
        self.collections.setdefault(collection, []).append(entity)
        self.born[entity["id"]] = now_s
        if collection == "groups":
            self.changes.append(GroupChange(entity["id"]))

    def note_change(self, collection: str, entity_id: str) -> None:
        """An object was changed in place."""
        if collection == "groups":
            self.changes.append(GroupChange(entity_id))

    def remove(self, collection: str, entity_id: str) -> None:
        """Take an object away with all that hangs on it."""
        entity = self.found(collection, entity_id)
        if entity is None:
            return
        self.collections[collection].remove(entity)
        for parts in (self.settings, self.assignments, self.actions):
            parts.pop(entity_id, None)
        if collection == "groups":
            # Only Microsoft 365 groups go to a bin from which they can come back.
            soft = "Unified" in entity.get("groupTypes", ())
            removal = Removal.CHANGED if soft else Removal.DELETED
            self.changes.append(GroupChange(entity_id, removal))

    def recount(self, entity: Entity) -> None:
        """Bring the counts that an object shows of its parts up to date."""
        if "settingCount" in entity:
            entity["settingCount"] = len(self.settings.get(entity["id"], ()))
        if "isAssigned" in entity:
            entity["isAssigned"] = bool(self.assignments.get(entity["id"]))


def stable_id(*names: str) -> str:
    """The id that belongs to a path of names."""
    return str(uuid5(NAMESPACE_URL, "/".join(names)))
