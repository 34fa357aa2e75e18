"""What differs between two contents: path by path, keyed, in one pass over both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lastword.identity import canonical_json
from lastword_jobs.content.documents import Content, Json, Part


class Op(StrEnum):
    """What happened to a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Attributes:
        part: the part of the policy.
        path: where in it, as people read it.
        op: what happened.
        old: what was there; None if nothing was.
        new: what is there; None if nothing is.
    """

    part: Part
    path: str
    op: Op
    old: Any = None
    new: Any = None

    def document(self) -> Json:
        """As plain JSON values."""
        return {
            "part": self.part,
            "path": self.path,
            "op": self.op,
            "old": self.old,
            "new": self.new,
        }


def differences(old: Content, new: Content) -> list[Difference]:
    """Every difference, in an order of their own; none exactly where all fingerprints agree.

    The names are no difference: that two policies are the same one is for others to know.
    """
    found: list[Difference] = []
    for part in Part:
        if old.fingerprint(part) != new.fingerprint(part):
            found += _between(part, "", old.part(part), new.part(part))
    return found


def _between(part: Part, path: str, old: Any, new: Any) -> Iterator[Difference]:
    if canonical_json(old) == canonical_json(new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _of_key(part, f"{path}/{key}" if path else key, key, old, new)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _between_lists(part, path, old, new)
    else:
        yield Difference(part, path, Op.CHANGED, old, new)


def _of_key(part: Part, path: str, key: str, old: Json, new: Json) -> Iterator[Difference]:
    if key not in new:
        yield Difference(part, path, Op.REMOVED, old=old[key])
    elif key not in old:
        yield Difference(part, path, Op.ADDED, new=new[key])
    else:
        yield from _between(part, path, old[key], new[key])


def _between_lists(part: Part, path: str, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    # By content, so that one that was put in front does not make all the others differ.
    before = {canonical_json(item): item for item in old}
    after = {canonical_json(item): item for item in new}
    gone = [before[key] for key in before if key not in after]
    come = [after[key] for key in after if key not in before]
    if part is Part.SETTINGS and len(gone) == len(come) == 1:
        # One item in the place of another is that item, changed.
        yield from _between(part, path, gone[0], come[0])
        return
    for item in gone:
        yield Difference(part, path, Op.REMOVED, old=item)
    for item in come:
        yield Difference(part, path, Op.ADDED, new=item)
    if not gone and not come:
        yield Difference(part, path, Op.CHANGED, old, new)
