"""A policy in two forms: as it was read, and as it is compared. Plain values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lastword.identity import canonical_json

Json = dict[str, Any]


class MalformedContent(Exception):
    """What was read is not shaped as Graph shapes it."""


class Part(StrEnum):
    """What is compared apart from the rest; the words are those of a finding's kind."""

    SETTINGS = "policy_snapshot"
    ASSIGNMENTS = "policy_assignments"
    SCOPE_TAGS = "policy_scope_tags"


@dataclass(frozen=True, slots=True)
class Captured:
    """What was read of one object, as Graph gave it.

    Attributes:
        type: our name of its type.
        entity: the object, with what was expanded.
        settings: the items of its settings, where they are read apart.
        assignments: the items of its assignments.
    """

    type: str
    entity: Json
    settings: Sequence[Json] = ()
    assignments: Sequence[Json] = ()

    @property
    def external_id(self) -> str:
        """Its id."""
        return str(self.entity.get("id", ""))

    @property
    def name(self) -> str:
        """Its name, whichever property holds it."""
        return str(self.entity.get("displayName") or self.entity.get("name") or "")

    def document(self) -> Json:
        """As plain JSON values."""
        return {
            "type": self.type,
            "entity": self.entity,
            "settings": list(self.settings),
            "assignments": list(self.assignments),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Captured:
        """Back from `document()`."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of what policies refer to by id, so that another tenant's ids mean the same."""

    groups: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    scope_tags: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """A policy as it is compared. Holds no tenant's ids.

    Attributes:
        type: our name of its type.
        name: its name.
        settings: everything but assignments and scope tags.
        assignments: whom it is for, sorted.
        scope_tags: the names of its scope tags, sorted.
        unresolved: what it refers to and nobody could name.
    """

    type: str
    name: str
    settings: Json
    assignments: tuple[Json, ...] = ()
    scope_tags: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()

    def part(self, part: Part) -> Any:
        """One of the parts that are compared apart."""
        if part is Part.SETTINGS:
            return self.settings
        return list(self.assignments if part is Part.ASSIGNMENTS else self.scope_tags)

    def fingerprint(self, part: Part) -> str:
        """The sha256 of a part."""
        return _sha256(self.part(part))

    @property
    def fingerprint_of_all(self) -> str:
        """The sha256 of everything that is compared, the name too."""
        return _sha256([self.type, self.name, *(self.part(part) for part in Part)])

    def document(self) -> Json:
        """As plain JSON values."""
        return {
            "type": self.type,
            "name": self.name,
            "settings": self.settings,
            "assignments": list(self.assignments),
            "scope_tags": list(self.scope_tags),
            "unresolved": list(self.unresolved),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Content:
        """Back from `document()`."""
        lists = ("assignments", "scope_tags", "unresolved")
        return cls(**{**document, **{key: tuple(document[key]) for key in lists}})


def _sha256(value: Any) -> str:
    # Half of a surrogate pair has no UTF-8, and comes out of JSON all the same.
    return hashlib.sha256(canonical_json(value).encode(errors="replace")).hexdigest()
