"""Writing: create, change, replace and delete, with the stamps and counts that Graph keeps."""

from __future__ import annotations

from typing import Any

from lastword_jobs.graph_server.answers import Answer, bad_request
from lastword_jobs.graph_server.calls import Errand
from lastword_jobs.graph_server.checking import (
    NO_TEMPLATE,
    require_all,
    require_rules,
    require_type,
    writable,
)
from lastword_jobs.graph_server.oma_settings import hidden
from lastword_jobs.graph_server.reading import refuse_options, with_context
from lastword_jobs.graph_server.resources import Part, Resource, Workload
from lastword_jobs.graph_server.tenants import Entity, Tenant

#: Properties that a body gives and that are kept apart from the object itself.
_PARTS = (Part.SETTINGS, Part.RULES)

#: The flags by which an object says that it came with the service.
_BUILT_IN = ("isBuiltIn", "isBuiltInRoleDefinition")


def create(errand: Errand) -> Answer:
    """POST to a collection: 201 with the new object. Names may repeat."""
    refuse_options(errand)
    resource, tenant = errand.resource, errand.tenant
    body = errand.call.document()
    require_type(body, resource)
    require_all(body, resource)
    if Part.ASSIGNMENTS in body:
        raise bad_request("Assignments are set with /assign, not with the object.")
    given = writable(body, errand)
    entity_id = tenant.new_id(resource.name)
    entity = {**_defaults(resource, errand.now), **_own(given), "id": entity_id}
    if "omaSettings" in entity:
        entity["omaSettings"] = hidden(entity["omaSettings"], tenant, entity_id)
    tenant.add(resource.name, entity, now_s=errand.now_s)
    _keep_parts(tenant, entity_id, given)
    tenant.recount(entity)
    return Answer(201, with_context(entity, errand))


def change(errand: Errand) -> Answer:
    """PATCH an object: what is given is set, the rest stays."""
    refuse_options(errand)
    resource, tenant, entity = errand.resource, errand.tenant, errand.entity()
    body = errand.call.document()
    require_type(body, resource, of=entity.get("@odata.type"))
    for part in (Part.RULES, Part.ASSIGNMENTS, Part.SETTINGS):
        if part in body:
            raise bad_request(f"The property '{part}' cannot be changed by PATCH.")
    given = writable(body, errand)
    for name in sorted(resource.required & given.keys()):
        if given[name] is None:
            raise bad_request(f"The property '{name}' cannot be empty.")
    _set(entity, _own(given), errand)
    tenant.note_change(resource.name, entity["id"])
    if resource.workload is not Workload.INTUNE:
        return Answer(204)
    return Answer(200, with_context(entity, errand))


def replace(errand: Errand) -> Answer:
    """PUT a settings catalog policy: all its settings are replaced."""
    refuse_options(errand)
    resource, tenant, entity = errand.resource, errand.tenant, errand.entity()
    body = errand.call.document()
    require_type(body, resource)
    for name in sorted(resource.required - {Part.RULES}):
        if body.get(name) is None:
            raise bad_request(f"The property '{name}' is required.")
    given = writable(body, errand)
    _set(entity, _own(given), errand)
    _keep_parts(tenant, entity["id"], given)
    tenant.recount(entity)
    return Answer(204)


def delete(errand: Errand) -> Answer:
    """DELETE an object: 204; what is built in or in use stays."""
    refuse_options(errand)
    entity = errand.entity()
    if any(entity.get(flag) for flag in _BUILT_IN):
        raise bad_request("A built-in object cannot be deleted.")
    if errand.resource.name == "assignmentFilters" and _is_in_use(errand.tenant, entity["id"]):
        raise bad_request("The assignment filter is used by an assignment.")
    errand.tenant.remove(errand.resource.name, entity["id"])
    return Answer(204)


def schedule_rules(errand: Errand) -> Answer:
    """POST /scheduleActionsForRules: the scheduled actions are replaced, 204."""
    _schedule(errand, "deviceComplianceScheduledActionForRules")
    return Answer(204)


def set_actions(errand: Errand) -> Answer:
    """POST /setScheduledActions of a Linux compliance policy: 200 with what is set."""
    _schedule(errand, "scheduledActions")
    context = f"{errand.call.context}#{errand.resource.path}/{Part.RULES}"
    actions = errand.tenant.actions[errand.target.entity_id]
    return Answer(200, {"@odata.context": context, "value": actions})


def _schedule(errand: Errand, key: str) -> None:
    refuse_options(errand)
    entity = errand.entity()
    body = errand.call.document()
    if set(body) != {key}:
        raise bad_request(f"The body must hold '{key}' and nothing else.")
    require_rules(body[key], errand.tenant)
    _keep_parts(errand.tenant, entity["id"], {Part.RULES: body[key]})
    entity["lastModifiedDateTime"] = errand.now


def _defaults(resource: Resource, now: str) -> Entity:
    values: Entity = dict.fromkeys(sorted(resource.properties))
    stamps: dict[str, Any] = {
        "createdDateTime": now,
        "lastModifiedDateTime": now,
        "version": 1,
        "roleScopeTagIds": ["0"],
        "roleScopeTags": ["0"],
        "supportsScopeTags": True,
        "settingCount": 0,
        "isAssigned": False,
        "isBuiltIn": False,
        "isBuiltInRoleDefinition": False,
        "groupTypes": [],
    }
    return values | {key: value for key, value in stamps.items() if key in values}


def _own(given: Entity) -> Entity:
    return {key: value for key, value in given.items() if key not in _PARTS}


def _set(entity: Entity, values: Entity, errand: Errand) -> None:
    if "omaSettings" in values:
        earlier = entity.get("omaSettings", ())
        kept = hidden(values["omaSettings"], errand.tenant, entity["id"], earlier=earlier)
        values = {**values, "omaSettings": kept}
    entity.update({key: value for key, value in values.items() if key != "@odata.type"})
    for key in ("lastModifiedDateTime", "modifiedDateTime"):
        if key in entity:
            entity[key] = errand.now
    if isinstance(entity.get("version"), int):
        entity["version"] += 1


def _keep_parts(tenant: Tenant, policy_id: str, given: Entity) -> None:
    if Part.SETTINGS in given:
        tenant.settings[policy_id] = [
            {**setting, "id": str(place)} for place, setting in enumerate(given[Part.SETTINGS])
        ]
    if Part.RULES in given:
        tenant.actions[policy_id] = [_rule(tenant, rule) for rule in given[Part.RULES]]


def _rule(tenant: Tenant, rule: Entity) -> Entity:
    actions = [
        {
            "id": tenant.new_id("action"),
            "gracePeriodHours": action.get("gracePeriodHours", 0),
            "actionType": action["actionType"],
            "notificationTemplateId": action.get("notificationTemplateId") or NO_TEMPLATE,
            "notificationMessageCCList": action.get("notificationMessageCCList") or [],
        }
        for action in rule["scheduledActionConfigurations"]
    ]
    return {
        "id": tenant.new_id("rule"),
        "ruleName": rule.get("ruleName"),
        "scheduledActionConfigurations": actions,
    }


def _is_in_use(tenant: Tenant, filter_id: str) -> bool:
    return any(
        assignment["target"].get("deviceAndAppManagementAssignmentFilterId") == filter_id
        for assignments in tenant.assignments.values()
        for assignment in assignments
    )
