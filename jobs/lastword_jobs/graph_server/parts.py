"""What hangs on a seeded policy: settings, assignments, scheduled actions, tags and secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lastword_jobs.graph_server.assigning import assignment_of
from lastword_jobs.graph_server.checking import NO_TEMPLATE
from lastword_jobs.graph_server.tenants import Entity, Tenant, stable_id

#: Settings of one policy after another: 5 in the middle, 118 at most, two above a page of 25.
SETTING_COUNTS = (3, 5, 1, 8, 5, 2, 12, 4, 5, 30, 6, 118)

#: Every so many policies one carries a scope tag of its own, and some are assigned to nobody.
TAGGED_EVERY, ASSIGNMENTS_ROUND = 5, 6


def add_parts(
    tenant: Tenant,
    *,
    settings: Mapping[str, Sequence[Entity]],
    assignments: Mapping[str, Sequence[Entity]],
) -> None:
    """Hang on a tenant's policies what belongs to them.

    Args:
        tenant: the tenant, with all its objects.
        settings: templates of settings, by the name of a policy.
        assignments: templates of assignments, by the path of a policy.
    """
    groups_of_settings = list(settings.values())
    for number, policy in enumerate(tenant.collections["configurationPolicies"]):
        tenant.settings[policy["id"]] = _settings(groups_of_settings, number)
        policy["isAssigned"] = False
    for number, policy in enumerate(tenant.collections["deviceCompliancePolicies"]):
        _move_actions(tenant, policy, number)
    for policy in tenant.collections["deviceConfigurations"]:
        _keep_secrets(tenant, policy)
    templates = list(assignments.values())
    for kind in ("configurationPolicies", "deviceConfigurations", "deviceCompliancePolicies"):
        for number, policy in enumerate(tenant.collections[kind]):
            _tag(tenant, policy, number)
            _assign(tenant, policy, templates, number)
            tenant.recount(policy)


def _settings(templates: Sequence[Sequence[Entity]], number: int) -> list[Entity]:
    # A policy begins with the settings of its own template and goes on with the others'.
    start = number % len(templates)
    ordered = [item for group in (*templates[start:], *templates[:start]) for item in group]
    made = []
    for place in range(SETTING_COUNTS[number % len(SETTING_COUNTS)]):
        template = ordered[place % len(ordered)]
        text = json.dumps(template)
        if place >= len(ordered):
            # Children's ids begin with their parent's, so they stay together.
            definition = template["settingInstance"]["settingDefinitionId"]
            text = text.replace(definition, f"{definition}_{place}")
        made.append({**json.loads(text), "id": str(place)})
    return made


def _move_actions(tenant: Tenant, policy: Entity, number: int) -> None:
    policy.pop("scheduledActionsForRule@odata.context")
    rules = policy.pop("scheduledActionsForRule")
    notifications = tenant.collections["notificationMessageTemplates"]
    for rule in rules:
        rule.pop("scheduledActionConfigurations@odata.context")
        rule["id"] = stable_id(policy["id"], "rule")
        for place, action in enumerate(rule["scheduledActionConfigurations"]):
            action["id"] = stable_id(policy["id"], "action", str(place))
            if action["notificationTemplateId"] != NO_TEMPLATE:
                template = notifications[number % len(notifications)]
                action["notificationTemplateId"] = template["id"]
    tenant.actions[policy["id"]] = rules


def _keep_secrets(tenant: Tenant, policy: Entity) -> None:
    for place, setting in enumerate(policy.get("omaSettings", ())):
        if setting.get("isEncrypted"):
            reference = f"{policy['id']}_{stable_id(policy['id'], 'secret', str(place))}"
            setting["secretReferenceValueId"] = reference
            tenant.secrets[reference] = f"<enabled/><data id='demo' value='{place}'/>"


def _tag(tenant: Tenant, policy: Entity, number: int) -> None:
    tags = [tag["id"] for tag in tenant.collections["roleScopeTags"] if not tag["isBuiltIn"]]
    # The ids of tags differ between tenants; those of a template mean nothing here.
    is_tagged = number % TAGGED_EVERY == 1
    policy["roleScopeTagIds"] = ["0", tags[number % len(tags)]] if is_tagged else ["0"]


def _assign(
    tenant: Tenant, policy: Entity, templates: Sequence[Sequence[Entity]], number: int
) -> None:
    turn = number % ASSIGNMENTS_ROUND
    chosen = templates[turn] if turn < len(templates) else ()
    groups, filters = tenant.collections["groups"], tenant.collections["assignmentFilters"]
    made = []
    for place, template in enumerate(chosen):
        target: dict[str, Any] = dict(template["target"])
        if "groupId" in target:
            target["groupId"] = groups[(number * 7 + place * 3) % len(groups)]["id"]
        if target["deviceAndAppManagementAssignmentFilterId"]:
            chosen_filter = filters[number % len(filters)]
            target["deviceAndAppManagementAssignmentFilterId"] = chosen_filter["id"]
        made.append(assignment_of(policy["id"], target))
    tenant.assignments[policy["id"]] = made
