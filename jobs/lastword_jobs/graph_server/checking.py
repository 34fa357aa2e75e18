"""What a body may say: everything Graph refuses is refused here, before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lastword_jobs.graph_server.answers import bad_request
from lastword_jobs.graph_server.calls import Errand
from lastword_jobs.graph_server.known_types import SETTING_INSTANCES, written_out
from lastword_jobs.graph_server.oma_settings import require_oma_settings
from lastword_jobs.graph_server.resources import READ_ONLY, Part, Resource
from lastword_jobs.graph_server.tenants import Entity, Tenant

#: Characters of a name at most.
MAX_NAME = 1000

_TYPE = "@odata.type"
_DEFINITION_ID = re.compile(r"[a-z0-9_.~{}-]+")

#: Properties by which an object names the scope tags it carries.
_TAG_LISTS = ("roleScopeTagIds", "roleScopeTags")

_ACTION_TYPES = (
    "noAction",
    "notification",
    "block",
    "retire",
    "wipe",
    "removeResourceAccessProfiles",
    "pushNotification",
    "remoteLock",
)

#: Properties whose values have to be of a kind, or one of a few words.
_KINDS: Mapping[str, type] = {
    "mailEnabled": bool,
    "securityEnabled": bool,
    "mailNickname": str,
    "platforms": str,
    "platform": str,
    "technologies": str,
    "rule": str,
    "conditions": dict,
    "rolePermissions": list,
    "groupTypes": list,
}
_STATES = ("enabled", "disabled", "enabledForReportingButNotEnforced")

#: What stands for no notification template.
NO_TEMPLATE = "00000000-0000-0000-0000-000000000000"


def writable(body: Mapping[str, Any], errand: Errand) -> Entity:
    """What of a body is to be written, once it is known to be sound.

    Raises:
        Refusal: a property is unknown, read-only, or has a wrong value.
    """
    resource, kept = errand.resource, {}
    for key, value in body.items():
        if key == _TYPE:
            if resource.names_its_type:
                kept[key] = written_out(str(value))
        elif "@odata." in key or key.startswith("#"):
            continue
        elif key in READ_ONLY:
            if errand.rules.strict:
                raise bad_request(f"The property '{key}' is read-only and cannot be set.")
        elif not _is_known(key, resource):
            raise bad_request(
                f"The property '{key}' does not exist on type '{resource.name}'. Make sure to only "
                "use property names that are defined by the type."
            )
        else:
            kept[key] = value
    _require_values(kept, errand)
    return kept


def require_type(body: Mapping[str, Any], resource: Resource, *, of: str | None = None) -> None:
    """Refuse a body of an unknown type, of none where it takes one, or of another than `of`.

    Raises:
        Refusal: the type is not that.
    """
    given = body.get(_TYPE)
    if given is None:
        if resource.names_its_type:
            raise bad_request(f"The property '{_TYPE}' is required: the type is abstract.")
        return
    if not isinstance(given, str) or written_out(given) not in resource.types:
        raise bad_request(f"Invalid type '{given}' for '{resource.name}'.")
    if of is not None and written_out(given) != of:
        raise bad_request(f"The type of an object cannot change from '{of}' to '{given}'.")


def require_all(body: Mapping[str, Any], resource: Resource) -> None:
    """Refuse a body without a property that the resource cannot be without.

    Raises:
        Refusal: one is missing.
    """
    for name in sorted(resource.required):
        if body.get(name) is None:
            raise bad_request(f"The property '{name}' is required.")


def require_settings(settings: Any) -> None:
    """Refuse settings of which one is not sound.

    Raises:
        Refusal: one is not.
    """
    if not isinstance(settings, list):
        raise bad_request("The property 'settings' must be a collection.")
    seen: set[str] = set()
    for place, setting in enumerate(settings):
        instance = setting.get("settingInstance") if isinstance(setting, dict) else None
        if not isinstance(instance, dict):
            raise bad_request(f"settings[{place}] has no 'settingInstance'.")
        definition, kind = instance.get("settingDefinitionId"), instance.get(_TYPE)
        if not isinstance(kind, str) or written_out(kind) not in SETTING_INSTANCES:
            raise bad_request(f"settings[{place}] has the unknown type '{kind}'.")
        if not isinstance(definition, str) or not _DEFINITION_ID.fullmatch(definition):
            raise bad_request(f"settings[{place}]: no setting definition '{definition}'.")
        if definition in seen:
            raise bad_request(f"settings[{place}] sets '{definition}' a second time.")
        seen.add(definition)


def require_rules(rules: Any, tenant: Tenant) -> None:
    """Refuse scheduled actions that are not one rule, with a block in it.

    Raises:
        Refusal: they are not.
    """
    if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], dict):
        raise bad_request(f"The property '{Part.RULES}' must hold one rule.")
    actions = rules[0].get("scheduledActionConfigurations")
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise bad_request("The property 'scheduledActionConfigurations' must be a collection.")
    kinds = [action.get("actionType") for action in actions]
    if "block" not in kinds or any(kind not in _ACTION_TYPES for kind in kinds):
        raise bad_request("A rule needs the action 'block' and may have only known ones.")
    for action in actions:
        grace = action.get("gracePeriodHours", 0)
        if type(grace) is not int or grace < 0:
            raise bad_request(f"Invalid value '{grace}' for gracePeriodHours.")
        template = action.get("notificationTemplateId") or NO_TEMPLATE
        known = tenant.found("notificationMessageTemplates", str(template))
        if template != NO_TEMPLATE and known is None:
            raise bad_request(f"No notification template '{template}'.")


def _is_known(key: str, resource: Resource) -> bool:
    if key in set(Part):
        return key in resource.parts
    # A derived type has properties of its own, hundreds of them; only a closed one can be checked.
    if resource.names_its_type:
        return bool(re.fullmatch(r"[A-Za-z]\w*", key))
    return key in resource.properties or key in resource.required


def _require_values(body: Entity, errand: Errand) -> None:
    name_key = errand.resource.name_key
    if name_key in body:
        name = body[name_key]
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
            raise bad_request(f"Invalid value for '{name_key}'.")
    if not isinstance(body.get("description"), str | None):
        raise bad_request("Invalid value for 'description'.")
    for key in sorted(body.keys() & _KINDS.keys()):
        if not isinstance(body[key], _KINDS[key]):
            raise bad_request(f"Invalid value for '{key}'.")
    if "state" in body and body["state"] not in _STATES:
        raise bad_request(f"Invalid value '{body['state']}' for 'state'.")
    for key in _TAG_LISTS:
        if key in body:
            _require_tags(body[key], key, errand.tenant)
    if "omaSettings" in body:
        require_oma_settings(body["omaSettings"])
    if "settings" in body:
        require_settings(body["settings"])
    if Part.RULES in body:
        require_rules(body[Part.RULES], errand.tenant)


def _require_tags(tags: Any, key: str, tenant: Tenant) -> None:
    if not isinstance(tags, list):
        raise bad_request(f"The property '{key}' must be a collection.")
    for tag in tags:
        if not isinstance(tag, str) or tenant.found("roleScopeTags", tag) is None:
            raise bad_request(f"No scope tag '{tag}'.")
