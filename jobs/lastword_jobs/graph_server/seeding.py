"""Tenants made from templates: the same name and size give the same objects, ids included."""

from __future__ import annotations

import json
from functools import cache
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

from lastword_jobs.graph_server.parts import add_parts
from lastword_jobs.graph_server.tenants import Entity, Size, Tenant, stable_id

__all__ = ["COUNTS", "Size", "read_seed", "seed_tenant"]

SEED = Path(__file__).parent / "seed"

_TEMPLATES = {
    "configurationPolicies": "configurationPolicies_page1",
    "deviceConfigurations": "deviceConfigurations",
    "deviceCompliancePolicies": "deviceCompliancePolicies_expanded",
    "assignmentFilters": "assignmentFilters",
    "roleScopeTags": "roleScopeTags",
    "groups": "groups_page",
    "directoryRoleDefinitions": "roleDefinitions_directory",
    "roleDefinitions": "roleDefinitions_device",
    "notificationMessageTemplates": "notificationMessageTemplates",
    "conditionalAccessPolicies": "conditionalAccessPolicies",
}

#: Objects of each collection by size; the first three are policies: 20, 150 and 600.
COUNTS: dict[Size, dict[str, int]] = {
    size: dict(zip(_TEMPLATES, counts, strict=True))
    for size, counts in {
        Size.S: (12, 5, 3, 2, 2, 50, 10, 3, 1, 2),
        Size.M: (90, 35, 25, 12, 6, 2_000, 60, 8, 3, 12),
        Size.L: (360, 150, 90, 40, 20, 25_000, 120, 20, 8, 40),
    }.items()
}

#: Collections for evidence: the same few objects whatever the size.
_POSTURE = ("organization", "subscribedSkus", "secureScores", "auditEvents")


def seed_tenant(tenant_id: str, size: Size) -> Tenant:
    """A tenant of a size."""
    tenant = Tenant(tenant_id, size)
    for collection, count in COUNTS[size].items():
        seed = read_seed(_TEMPLATES[collection])["value"]
        made = [template for template in seed if not template.get("isBuiltIn")]
        # Reading a text again is the fastest copy, and a large tenant takes 25,000 of them.
        texts = {id(template): json.dumps(template) for template in seed}
        templates = islice(chain(seed, cycle(made)), count)
        tenant.collections[collection] = [
            _made_from(json.loads(texts[id(template)]), tenant_id, collection, number)
            for number, template in enumerate(templates, start=1)
        ]
    tenant.collections["compliancePolicies"] = []
    posture = read_seed("posture")
    for collection in _POSTURE:
        tenant.collections[collection] = _copy(posture[collection])
    tenant.documents = _copy(posture["documents"])
    add_parts(
        tenant,
        settings=read_seed("configurationPolicies_settings_by_policy"),
        assignments=read_seed("assignments_by_policy"),
    )
    return tenant


@cache
def read_seed(name: str) -> dict[str, Any]:
    """A document of the seed folder."""
    document: dict[str, Any] = json.loads((SEED / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _made_from(entity: Entity, tenant_id: str, collection: str, number: int) -> Entity:
    # What is built in is there once, and has the same id in every tenant.
    if entity.get("isBuiltIn"):
        return entity
    name_key = "name" if "name" in entity else "displayName"
    entity["id"] = stable_id(tenant_id, collection, str(number))
    entity[name_key] = f"{entity[name_key]} {number:03}"
    if "mailNickname" in entity:
        entity["mailNickname"] += f"-{number:03}"
    if entity.get("templateId"):
        entity["templateId"] = entity["id"]
    return entity


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))
