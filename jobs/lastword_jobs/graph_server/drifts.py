"""Named drifts: what somebody may have changed in a tenant behind everyone's back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lastword_jobs.graph_server.assigning import assignment_of
from lastword_jobs.graph_server.catalogue import BY_NAME, POLICY_COLLECTIONS
from lastword_jobs.graph_server.clock import stamp
from lastword_jobs.graph_server.known_types import GROUP_TARGET
from lastword_jobs.graph_server.tenants import Entity, Tenant


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a drift happens.

    Attributes:
        tenant: the tenant.
        collection: the collection.
        entity: the object it happens to.
        now_s: when, in Unix seconds.
    """

    tenant: Tenant
    collection: str
    entity: Entity
    now_s: float

    @property
    def name_key(self) -> str:
        """The property with the object's name."""
        return BY_NAME[self.collection].name_key

    def touch(self) -> None:
        """Stamp the object as changed."""
        self.entity["lastModifiedDateTime"] = stamp(self.now_s)
        if isinstance(self.entity.get("version"), int):
            self.entity["version"] += 1
        self.tenant.recount(self.entity)


#: Applies a drift; what it has done, in words that a test can compare.
Drift = Callable[[Scene], dict[str, Any]]


def change_setting(scene: Scene) -> dict[str, Any]:
    """Give one setting of a policy another value."""
    settings = scene.tenant.settings.get(scene.entity["id"])
    scene.touch()
    if settings:
        instance = settings[0]["settingInstance"]
        for key, value in instance.items():
            if key.endswith("Value"):
                instance[key] = _other(value)
        return {"setting": instance["settingDefinitionId"]}
    for key, value in scene.entity.items():
        if isinstance(value, bool) and key not in ("supportsScopeTags", "isAssigned"):
            scene.entity[key] = not value
            return {"setting": key}
    scene.entity["description"] = f"{scene.entity.get('description') or ''} (changed)"
    return {"setting": "description"}


def change_tags(scene: Scene) -> dict[str, Any]:
    """Put another scope tag on a policy, or take it off."""
    tags = scene.entity["roleScopeTagIds"]
    own = scene.tenant.collections["roleScopeTags"][-1]["id"]
    scene.entity["roleScopeTagIds"] = ["0"] if own in tags else [*tags, own]
    scene.touch()
    return {"tags": scene.entity["roleScopeTagIds"]}


def add_assignment(scene: Scene) -> dict[str, Any]:
    """Assign a policy to one more group."""
    assigned = scene.tenant.assignments.setdefault(scene.entity["id"], [])
    taken = {assignment["target"].get("groupId") for assignment in assigned}
    groups = scene.tenant.collections["groups"]
    group_id = next(group["id"] for group in groups if group["id"] not in taken)
    target = {
        "@odata.type": GROUP_TARGET,
        "deviceAndAppManagementAssignmentFilterId": None,
        "deviceAndAppManagementAssignmentFilterType": "none",
        "groupId": group_id,
    }
    assigned.append(assignment_of(scene.entity["id"], target))
    scene.touch()
    return {"group": group_id}


def drop_assignment(scene: Scene) -> dict[str, Any]:
    """Take the first assignment of a policy away."""
    assigned = scene.tenant.assignments.get(scene.entity["id"])
    if not assigned:
        raise ValueError("the policy is assigned to nobody; choose another nth")
    dropped = assigned.pop(0)
    scene.touch()
    return {"assignment": dropped["id"]}


def add_policy(scene: Scene) -> dict[str, Any]:
    """Add a copy of an object under a name of its own."""
    return _add_copy(scene, f"{scene.entity[scene.name_key]} (added)")


def duplicate_name(scene: Scene) -> dict[str, Any]:
    """Add a copy of an object under the very same name."""
    return _add_copy(scene, scene.entity[scene.name_key])


def delete_policy(scene: Scene) -> dict[str, Any]:
    """Delete an object."""
    scene.tenant.remove(scene.collection, scene.entity["id"])
    return {}


def rename(scene: Scene) -> dict[str, Any]:
    """Give an object another name."""
    scene.entity[scene.name_key] = f"{scene.entity[scene.name_key]} (renamed)"
    if "lastModifiedDateTime" in scene.entity:
        scene.touch()
    scene.tenant.note_change(scene.collection, scene.entity["id"])
    return {}


def wipe(scene: Scene) -> dict[str, Any]:
    """Delete every policy of the tenant."""
    policies = [
        (collection, policy["id"])
        for collection in POLICY_COLLECTIONS
        for policy in scene.tenant.collections.get(collection, ())
    ]
    for collection, policy_id in policies:
        scene.tenant.remove(collection, policy_id)
    return {"deleted": len(policies)}


DRIFTS: Mapping[str, Drift] = {
    "change_setting": change_setting,
    "change_tags": change_tags,
    "add_assignment": add_assignment,
    "drop_assignment": drop_assignment,
    "add_policy": add_policy,
    "duplicate_name": duplicate_name,
    "delete_policy": delete_policy,
    "rename": rename,
    "rename_group": rename,
    "delete_group": delete_policy,
    "wipe": wipe,
}

_ON_GROUPS = frozenset({"rename_group", "delete_group"})


def apply_drift(
    tenant: Tenant, name: str, *, now_s: float, collection: str = "", nth: int = 0, id_: str = ""
) -> dict[str, Any]:
    """Let a drift happen.

    Args:
        tenant: the tenant.
        name: the drift.
        now_s: when, in Unix seconds.
        collection: where; settings catalog policies, or groups, by default.
        nth: to which of its objects, counted from 0.
        id_: to which, by its id; wins over `nth`.

    Returns:
        What was done: the drift, the collection, the object's id and name, and details.

    Raises:
        ValueError: no such drift, collection or object.
    """
    if name not in DRIFTS:
        raise ValueError(f"drift is {name!r}; expected one of {sorted(DRIFTS)}")
    where = collection or ("groups" if name in _ON_GROUPS else "configurationPolicies")
    entities = tenant.collections.get(where)
    if where not in BY_NAME or not entities:
        raise ValueError(f"the collection {where!r} is unknown or empty")
    entity = tenant.found(where, id_) if id_ else entities[nth] if nth < len(entities) else None
    if entity is None:
        raise ValueError(f"{where} has no object {id_ or nth}")
    scene = Scene(tenant, where, entity, now_s)
    done = {"drift": name, "collection": where, "id": entity["id"], "name": entity[scene.name_key]}
    return {**done, **DRIFTS[name](scene)}


def _add_copy(scene: Scene, name: str) -> dict[str, Any]:
    tenant, original_id = scene.tenant, scene.entity["id"]
    copy = json.loads(json.dumps(scene.entity))
    copy |= {"id": tenant.new_id(scene.collection), scene.name_key: name}
    for parts in (tenant.settings, tenant.actions):
        if original_id in parts:
            parts[copy["id"]] = json.loads(json.dumps(parts[original_id]))
    tenant.add(scene.collection, copy, now_s=scene.now_s)
    tenant.recount(copy)
    return {"id": copy["id"], "name": name}


def _other(value: Any) -> Any:
    # Another value of the same kind, somewhere in a setting.
    if isinstance(value, list):
        return [_other(value[0]), *value[1:]]
    if isinstance(value, dict) and "value" in value:
        return {**value, "value": _other(value["value"])}
    if isinstance(value, dict):
        children = value["children"]
        first = children[0]
        key = next(key for key in first if key.endswith("Value"))
        return {**value, "children": [{**first, key: _other(first[key])}, *children[1:]]}
    if isinstance(value, bool) or not isinstance(value, int):
        text = str(value)
        turned = {"_0": "_1", "_1": "_0"}.get(text[-2:])
        return f"{text[:-2]}{turned}" if turned else f"{text} (changed)"
    return value + 1
