"""The names of what a tenant's policies refer to: read anew, but for groups, which are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lastword.storage.ledger import Ledger
from lastword_jobs.content.documents import Captured, Json, Names
from lastword_jobs.directory.records import group_names
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import BY_TYPE
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused
from lastword_jobs.records import readable

#: What names come from, by the field of `Names`.
_FOUNDATIONS = {
    "filters": "assignmentFilter",
    "scope_tags": "roleScopeTag",
    "templates": "notificationTemplate",
}


@dataclass(slots=True)
class Naming:
    """Names what the policies of one tenant refer to.

    Args:
        graph: the tenant's provider.
        records: where its groups are.
    """

    graph: GraphClient
    records: Ledger
    _foundations: Names | None = field(default=None)

    def names_for(self, captured: Iterable[Captured]) -> Names:
        """The names that these refer to.

        Raises:
            RunFailure: the provider failed.
        """
        if self._foundations is None:
            self._foundations = Names(
                **{part: self._listed(type_) for part, type_ in _FOUNDATIONS.items()}
            )
        ids = [id_ for item in captured for id_ in _groups_of(item)]
        groups = group_names(self.records, self.graph.tenant_id, ids)
        return replace(self._foundations, groups=groups)

    def _listed(self, type_: str) -> dict[str, str]:
        contract = BY_TYPE[type_]
        try:
            return {
                entity["id"]: str(entity.get(contract.name_key) or "")
                for page in self.graph.pages(contract.listing)
                for entity in readable(page.entities)
            }
        except (PermissionDenied, RequestRefused):
            # What has no name then is told as such, policy by policy.
            return {}


def _groups_of(captured: Captured) -> list[str]:
    ids = [
        target["groupId"]
        for assignment in captured.assignments
        if isinstance(assignment, dict)
        and isinstance(target := assignment.get("target"), dict)
        and isinstance(target.get("groupId"), str)
    ]
    conditions = captured.entity.get("conditions")
    users: Json = (conditions.get("users") or {}) if isinstance(conditions, dict) else {}
    for key in ("includeGroups", "excludeGroups"):
        ids += [id_ for id_ in users.get(key) or [] if isinstance(id_, str)]
    return ids
