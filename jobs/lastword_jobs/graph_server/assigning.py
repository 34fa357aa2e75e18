"""Assigning: the assignments of a policy are replaced as a whole, and each is checked before."""

from __future__ import annotations

from typing import Any

from lastword_jobs.graph_server.answers import Answer, bad_request
from lastword_jobs.graph_server.calls import Errand
from lastword_jobs.graph_server.known_types import (
    ALL_DEVICES,
    ALL_USERS,
    EXCLUDED_GROUP_TARGET,
    GROUP_TARGET,
    TARGETS,
    written_out,
)
from lastword_jobs.graph_server.reading import refuse_options
from lastword_jobs.graph_server.tenants import Entity, Tenant

#: The ids that stand for everybody in the ids of assignments.
PSEUDO_GROUPS = {
    ALL_USERS: "acacacac-9df4-4c7d-9d50-4ef0226f57a9",
    ALL_DEVICES: "adadadad-808e-44e2-905a-0b7873a8a531",
}

NO_FILTER = "00000000-0000-0000-0000-000000000000"

_FILTER_ID = "deviceAndAppManagementAssignmentFilterId"
_FILTER_TYPE = "deviceAndAppManagementAssignmentFilterType"


def assign(errand: Errand) -> Answer:
    """POST /assign: 200 with the assignments that there are now."""
    refuse_options(errand)
    entity, tenant = errand.entity(), errand.tenant
    body = errand.call.document()
    given = body.get("assignments")
    if set(body) != {"assignments"} or not isinstance(given, list):
        raise bad_request("The body must hold 'assignments', a collection, and nothing else.")
    targets = [_target(assignment, tenant) for assignment in given]
    made = [assignment_of(entity["id"], target) for target in targets]
    ids = [assignment["id"] for assignment in made]
    if len(set(ids)) < len(ids):
        raise bad_request("A group is assigned twice.")
    tenant.assignments[entity["id"]] = made
    tenant.recount(entity)
    context = f"{errand.call.context}#{errand.resource.path}('{entity['id']}')/assignments"
    return Answer(200, {"@odata.context": context, "value": made})


def assignment_of(policy_id: str, target: Entity) -> Entity:
    """An assignment as it is shown; its id names the policy and whom it is for."""
    whom = target.get("groupId") or PSEUDO_GROUPS[target["@odata.type"]]
    return {
        "id": f"{policy_id}_{whom}",
        "source": "direct",
        "sourceId": policy_id,
        "target": target,
    }


def _target(assignment: Any, tenant: Tenant) -> Entity:
    target = assignment.get("target") if isinstance(assignment, dict) else None
    if not isinstance(target, dict):
        raise bad_request("An assignment needs a 'target'.")
    kind = written_out(str(target.get("@odata.type")))
    if kind not in TARGETS:
        raise bad_request(f"Invalid target type '{target.get('@odata.type')}'.")
    made: Entity = {"@odata.type": kind, **_filter(target, tenant)}
    if kind in (GROUP_TARGET, EXCLUDED_GROUP_TARGET):
        group_id = target.get("groupId")
        if not isinstance(group_id, str) or tenant.found("groups", group_id) is None:
            raise bad_request(f"No group '{group_id}'.")
        made["groupId"] = group_id
    elif target.get("groupId") is not None:
        raise bad_request(f"A target of type '{kind}' has no group.")
    return made


def _filter(target: Entity, tenant: Tenant) -> Entity:
    filter_id, kind = target.get(_FILTER_ID), target.get(_FILTER_TYPE) or "none"
    if kind not in ("none", "include", "exclude"):
        raise bad_request(f"Invalid filter type '{kind}'.")
    if filter_id in (None, NO_FILTER) or kind == "none":
        if kind != "none":
            raise bad_request(f"The filter type '{kind}' needs a filter.")
        return {_FILTER_ID: None, _FILTER_TYPE: "none"}
    if not isinstance(filter_id, str) or tenant.found("assignmentFilters", filter_id) is None:
        raise bad_request(f"No assignment filter '{filter_id}'.")
    return {_FILTER_ID: filter_id, _FILTER_TYPE: kind}
