"""Tenants made from templates: the same name and size give the same objects, ids included."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

Entity = dict[str, Any]

SEED = Path(__file__).parent / "seed"


class Size(StrEnum):
    """How much a tenant holds."""

    S = "S"
    M = "M"
    L = "L"


#: Objects of each collection by size; the first three are policies: 20, 150 and 600.
COUNTS: dict[Size, dict[str, int]] = {
    Size.S: {
        "configurationPolicies": 12,
        "deviceConfigurations": 5,
        "deviceCompliancePolicies": 3,
        "assignmentFilters": 2,
        "roleScopeTags": 2,
    },
    Size.M: {
        "configurationPolicies": 90,
        "deviceConfigurations": 35,
        "deviceCompliancePolicies": 25,
        "assignmentFilters": 12,
        "roleScopeTags": 6,
    },
    Size.L: {
        "configurationPolicies": 360,
        "deviceConfigurations": 150,
        "deviceCompliancePolicies": 90,
        "assignmentFilters": 40,
        "roleScopeTags": 20,
    },
}

_TEMPLATES = {
    "configurationPolicies": "configurationPolicies_page1",
    "deviceConfigurations": "deviceConfigurations",
    "deviceCompliancePolicies": "deviceCompliancePolicies_expanded",
    "assignmentFilters": "assignmentFilters",
    "roleScopeTags": "roleScopeTags",
}


@dataclass(slots=True)
class SeededTenant:
    """One tenant's objects, by collection, in the order in which they are listed."""

    tenant_id: str
    collections: dict[str, list[Entity]] = field(default_factory=dict)


def seed_tenant(tenant_id: str, size: Size) -> SeededTenant:
    """A tenant of a size."""
    tenant = SeededTenant(tenant_id)
    for collection, count in COUNTS[size].items():
        seed = read_seed(_TEMPLATES[collection])["value"]
        made = [template for template in seed if not template.get("isBuiltIn")]
        templates = islice(chain(seed, cycle(made)), count)
        tenant.collections[collection] = [
            _made_from(template, tenant_id, collection, number)
            for number, template in enumerate(templates, start=1)
        ]
    return tenant


@cache
def read_seed(name: str) -> dict[str, Any]:
    """A document of the seed folder."""
    document: dict[str, Any] = json.loads((SEED / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _made_from(template: Entity, tenant_id: str, collection: str, number: int) -> Entity:
    name_key = "name" if "name" in template else "displayName"
    entity: Entity = json.loads(json.dumps(template))
    # The built-in scope tag is there once, and has the id 0 in every tenant.
    if not template.get("isBuiltIn"):
        entity["id"] = str(uuid5(NAMESPACE_URL, f"{tenant_id}/{collection}/{number}"))
        entity[name_key] = f"{template[name_key]} {number:03}"
    return entity
