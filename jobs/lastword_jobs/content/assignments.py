"""Whom a policy is for, without ids: targets by kind, group, filter, as a sorted set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lastword.identity import canonical_json
from lastword_jobs.content.documents import Json, MalformedContent, Names
from lastword_jobs.content.noise import NO_ID, plain_type

_FILTER_ID = "deviceAndAppManagementAssignmentFilterId"
_FILTER_TYPE = "deviceAndAppManagementAssignmentFilterType"

#: Characters of an id that are shown of what nobody can name.
_SHOWN = 8

#: Names what an id stands for; notes it where nobody can.
Naming = Callable[[str, Mapping[str, str], object], str]


class Unresolved:
    """What nobody could name, so far."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def name(self, kind: str, names: Mapping[str, str], given: object) -> str:
        """The name of what an id stands for, or an honest sign that there is none."""
        known = names.get(str(given))
        if known is not None:
            return known
        sign = f"{kind} (...{str(given)[-_SHOWN:]})"
        self.seen.add(sign)
        return sign


def portable_assignments(
    assignments: Sequence[Json], names: Names, unresolved: Unresolved
) -> tuple[Json, ...]:
    """Assignments with names in the place of ids, each once, in an order of their own.

    Raises:
        MalformedContent: one has no target.
    """
    targets = [_portable(assignment, names, unresolved) for assignment in assignments]
    unique = {canonical_json(target): target for target in targets}
    return tuple(unique[key] for key in sorted(unique))


def _portable(assignment: Any, names: Names, unresolved: Unresolved) -> Json:
    target = assignment.get("target") if isinstance(assignment, dict) else None
    if not isinstance(target, dict):
        raise MalformedContent("an assignment without a target")
    kind = str(plain_type(target.get("@odata.type", ""))).rpartition(".")[2]
    portable: Json = {"target": kind.removesuffix("AssignmentTarget")}
    if target.get("groupId"):
        portable["group"] = unresolved.name("group", names.groups, target["groupId"])
    filter_id, filter_type = target.get(_FILTER_ID), target.get(_FILTER_TYPE)
    # No filter is said in three ways.
    if filter_id not in (None, "", NO_ID) and filter_type not in (None, "", "none"):
        portable["filter"] = unresolved.name("filter", names.filters, filter_id)
        portable["filter_type"] = filter_type
    return portable
