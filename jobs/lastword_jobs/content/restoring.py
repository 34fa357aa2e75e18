"""From what was read to what is written: bodies that Graph takes, for a tenant with other ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lastword_jobs.content.documents import Captured, Json
from lastword_jobs.content.noise import ABOUT_ITSELF, DEFAULT_TAG, NO_ID, is_annotation, is_state

#: Properties that are written in another way than with the object.
_WRITTEN_APART = frozenset({"assignments", "settings", "scheduledActionsForRule"})

_FILTER_ID = "deviceAndAppManagementAssignmentFilterId"
_FILTER_TYPE = "deviceAndAppManagementAssignmentFilterType"

#: By what Graph tells of a value that it hides.
_REFERENCE = frozenset({"secretReferenceValueId", "isEncrypted"})

#: Types whose rules are a part of the object when it is created.
_WITH_RULES = frozenset({"deviceCompliance", "linuxCompliance"})

#: Types whose settings are written with the object, all of them each time.
_WITH_SETTINGS = frozenset({"settingsCatalog", "linuxCompliance"})


@dataclass(frozen=True, slots=True)
class References:
    """What the target has in the place of what the source refers to: id there to id here."""

    groups: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    scope_tags: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that is referred to and that the target has not."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A setting whose value Graph hides: what it sets, and by what its value is asked for."""

    oma_uri: str
    reference: str


def create_body(captured: Captured, references: References) -> Json:
    """The body that makes an object anew."""
    body = _own(captured, references)
    if captured.type in _WITH_SETTINGS:
        body["settings"] = _settings(captured)
    if captured.type in _WITH_RULES:
        body["scheduledActionsForRule"] = _rules(captured, references)
    return body


def update_body(captured: Captured, references: References) -> Json:
    """The body that makes an existing object what was captured; its rules are written apart."""
    body = _own(captured, references)
    if captured.type in _WITH_SETTINGS:
        body["settings"] = _settings(captured)
    return body


def rules_body(captured: Captured, references: References) -> Json | None:
    """The body that replaces the rules of an existing object; None if its type has none."""
    if captured.type not in _WITH_RULES:
        return None
    key = (
        "deviceComplianceScheduledActionForRules"
        if captured.type == "deviceCompliance"
        else "scheduledActions"
    )
    return {key: _rules(captured, references)}


def assign_body(captured: Captured, references: References) -> Json:
    """The body that replaces all assignments; those that the target cannot have are left out."""
    targets = (_target(assignment, references) for assignment in captured.assignments)
    return {"assignments": [{"target": target} for target in targets if target is not None]}


def unmapped(captured: Captured, references: References) -> list[Missing]:
    """What an object refers to and the references do not have, each once."""
    found = [
        Missing(kind, id_)
        for kind, id_, known in _referred(captured, references)
        if id_ not in known
    ]
    return list(dict.fromkeys(found))


def secrets_of(entity: Mapping[str, Any]) -> list[Secret]:
    """The settings of an object whose values Graph hides."""
    return [secret for secret, _ in _hidden(entity)]


def with_secrets(
    captured: Captured, plain: Mapping[str, str], *, target: Mapping[str, Any] | None = None
) -> Captured:
    """With hidden values in plain text, or else as the target has them, or else without them.

    Stars that were written back would be a policy that does something else.

    Args:
        captured: what was read.
        plain: values by OMA-URI.
        target: the object that is to be written over, if there is one.
    """
    if not isinstance(captured.entity.get("omaSettings"), list):
        return captured
    own = {secret.oma_uri: setting for secret, setting in _hidden(target or {})}
    kept = []
    for setting in _oma_settings(captured.entity):
        uri = str(setting.get("omaUri"))
        if setting.get("isEncrypted") is not True:
            kept.append(setting)
        elif uri in plain:
            shown = {key: value for key, value in setting.items() if key not in _REFERENCE}
            kept.append({**shown, "value": plain[uri]})
        elif uri in own:
            kept.append(own[uri])
    return replace(captured, entity={**captured.entity, "omaSettings": kept})


def without_lost(
    captured: Captured, plain: Mapping[str, str], *, target: Mapping[str, Any]
) -> Captured:
    """As it reads once `with_secrets` of it was written: hidden, and without what nobody knew."""
    if not isinstance(captured.entity.get("omaSettings"), list):
        return captured
    known = {*plain, *(secret.oma_uri for secret in secrets_of(target))}
    kept = [
        setting
        for setting in _oma_settings(captured.entity)
        if setting.get("isEncrypted") is not True or setting.get("omaUri") in known
    ]
    return replace(captured, entity={**captured.entity, "omaSettings": kept})


def _own(captured: Captured, references: References) -> Json:
    body = {
        key: _without_annotations(value)
        for key, value in captured.entity.items()
        if key not in ABOUT_ITSELF | _WRITTEN_APART and not is_state(key) and not is_annotation(key)
    }
    for key in ("roleScopeTagIds", "roleScopeTags"):
        if key in body:
            known = (_tag(str(tag), references) for tag in body[key] or [])
            body[key] = [tag for tag in known if tag is not None] or [DEFAULT_TAG]
    return body


def _tag(tag: str, references: References) -> str | None:
    return tag if tag == DEFAULT_TAG else references.scope_tags.get(tag)


def _without_annotations(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_annotations(item) for key, item in value.items() if not is_annotation(key)
        }
    return [_without_annotations(item) for item in value] if isinstance(value, list) else value


def _settings(captured: Captured) -> list[Json]:
    return [{"settingInstance": item["settingInstance"]} for item in captured.settings]


def _rules(captured: Captured, references: References) -> list[Json]:
    rules: Sequence[Json] = captured.entity.get("scheduledActionsForRule") or []
    return [
        {
            "ruleName": rule.get("ruleName"),
            "scheduledActionConfigurations": [
                _action(action, references) for action in rule["scheduledActionConfigurations"]
            ],
        }
        for rule in rules
    ]


def _action(action: Json, references: References) -> Json:
    body: Json = {
        key: _without_annotations(value)
        for key, value in action.items()
        if key != "id" and not is_annotation(key)
    }
    template = str(action.get("notificationTemplateId") or NO_ID)
    body["notificationTemplateId"] = references.templates.get(template, NO_ID)
    return body


def _target(assignment: Json, references: References) -> Json | None:
    target = {key: value for key, value in assignment["target"].items() if not is_annotation(key)}
    if target.get("groupId"):
        if target["groupId"] not in references.groups:
            return None
        target["groupId"] = references.groups[target["groupId"]]
    filter_id = target.get(_FILTER_ID)
    if filter_id in (None, "", NO_ID) or target.get(_FILTER_TYPE) in (None, "none"):
        return target
    # Without its filter the policy would reach devices that it was kept from.
    if filter_id not in references.filters:
        return None
    return {**target, _FILTER_ID: references.filters[filter_id]}


def _referred(
    captured: Captured, references: References
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    for assignment in captured.assignments:
        target = assignment["target"]
        if target.get("groupId"):
            yield "group", target["groupId"], references.groups
        if target.get(_FILTER_ID) not in (None, "", NO_ID) and target.get(_FILTER_TYPE) != "none":
            yield "filter", target[_FILTER_ID], references.filters
    tags = captured.entity.get("roleScopeTagIds") or captured.entity.get("roleScopeTags") or []
    for tag in (tag for tag in tags if str(tag) != DEFAULT_TAG):
        yield "scope_tag", str(tag), references.scope_tags
    for rule in captured.entity.get("scheduledActionsForRule") or []:
        for action in rule["scheduledActionConfigurations"]:
            template = action.get("notificationTemplateId")
            if template not in (None, "", NO_ID):
                yield "template", str(template), references.templates


def _hidden(entity: Mapping[str, Any]) -> Iterator[tuple[Secret, Json]]:
    for setting in _oma_settings(entity):
        reference = setting.get("secretReferenceValueId")
        if setting.get("isEncrypted") is True and reference:
            yield Secret(str(setting.get("omaUri")), str(reference)), setting


def _oma_settings(entity: Mapping[str, Any]) -> list[Json]:
    settings = entity.get("omaSettings")
    if not isinstance(settings, list):
        return []
    return [item for item in settings if isinstance(item, dict)]
