"""What the target tenant has: its objects by id and by name, and the groups it knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lastword.storage.ledger import Ledger
from lastword_jobs.content.documents import Captured, Json
from lastword_jobs.content.normalising import portable_key
from lastword_jobs.content.restoring import References, assign_body, unmapped
from lastword_jobs.directory.records import MOST_IDS, Group, group_names
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import CONTRACTS, Contract
from lastword_jobs.records import readable
from lastword_jobs.restores.records import RestoreItem

#: What a reference is to, by the field of `References`.
_REFERRED = {
    "filters": "assignmentFilter",
    "scope_tags": "roleScopeTag",
    "templates": "notificationTemplate",
}


@dataclass(slots=True)
class Targets:
    """The objects of a tenant, by type."""

    by_id: dict[str, set[str]] = field(default_factory=dict)
    by_name: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, graph: GraphClient, types: Iterable[str]) -> Targets:
        """Read what there is of these types, and of all that policies refer to.

        Raises:
            RunFailure: the provider failed, or refused.
        """
        targets, wanted = cls(), {*types, *_REFERRED.values()}
        for contract in CONTRACTS:
            if contract.type in wanted:
                targets.add(contract, graph)
        return targets

    def add(self, contract: Contract, graph: GraphClient) -> None:
        """Read what there is of one type."""
        ids = self.by_id[contract.type] = set()
        for page in graph.pages(contract.listing):
            for entity in readable(page.entities):
                ids.add(entity["id"])
                key = portable_key(str(entity.get(contract.name_key) or ""), contract.type)
                self.by_name.setdefault(key, []).append(entity["id"])

    def matching(self, captured: Captured, *, same_tenant: bool) -> list[str]:
        """The objects that an object of a set may be: itself, or those of its name."""
        if same_tenant and captured.external_id in self.by_id.get(captured.type, ()):
            return [captured.external_id]
        return self.by_name.get(portable_key(captured.name, captured.type), [])


def references_of(
    ledger: Ledger,
    captured: Sequence[Captured],
    *,
    targets: Targets,
    items: Sequence[RestoreItem],
    source_tenant: str,
    target_tenant: str,
    mapping: Mapping[str, str],
) -> References:
    """What the target has in the place of what these refer to, as far as it is known."""
    found: dict[str, dict[str, str]] = {}
    for part, type_ in _REFERRED.items():
        # What is there under the same id is the same; what was written has another one.
        found[part] = {id_: id_ for id_ in targets.by_id.get(type_, ())}
        found[part] |= {
            item.source_id: item.target_id
            for item in items
            if item.type == type_ and item.target_id
        }
    ids = {
        assignment["target"]["groupId"]
        for item in captured
        for assignment in item.assignments
        if assignment["target"].get("groupId")
    }
    groups = _groups(ledger, sorted(ids), source_tenant, target_tenant)
    return References(groups={**groups, **mapping}, **found)


def assignments_told(captured: Captured, references: References) -> Json:
    """What becomes of the assignments of an object, and what it refers to that is not there."""
    return {
        "applied": len(assign_body(captured, references)["assignments"]),
        "unmapped": [f"{one.kind} (...{one.id[-8:]})" for one in unmapped(captured, references)],
    }


def _groups(
    ledger: Ledger, ids: Sequence[str], source_tenant: str, target_tenant: str
) -> dict[str, str]:
    if source_tenant == target_tenant:
        return {id_: id_ for id_ in _alive(ledger, target_tenant, ids)}
    names = group_names(ledger, source_tenant, ids)
    with ledger.session():
        query = Group.select(Group.external_id, Group.name).where(
            (Group.tenant_id == target_tenant)
            & Group.name.in_(sorted(set(names.values()))[:MOST_IDS])
            & Group.deleted_at.is_null()
        )
        there: dict[str, list[str]] = {}
        for row in query.execute(ledger.database):
            there.setdefault(row.name, []).append(row.external_id)
    # Two of a name, and nobody can say which.
    return {id_: there[name][0] for id_, name in names.items() if len(there.get(name, ())) == 1}


def _alive(ledger: Ledger, tenant_id: str, ids: Sequence[str]) -> list[str]:
    alive: list[str] = []
    with ledger.session():
        for start in range(0, len(ids), MOST_IDS):
            query = Group.select(Group.external_id).where(
                (Group.tenant_id == tenant_id)
                & Group.external_id.in_(ids[start : start + MOST_IDS])
                & Group.deleted_at.is_null()
            )
            alive += [row.external_id for row in query.execute(ledger.database)]
    return alive
