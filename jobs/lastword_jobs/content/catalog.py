"""Settings of the settings catalog, keyed by what they define instead of where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lastword.identity import canonical_json
from lastword_jobs.content.documents import Json, MalformedContent
from lastword_jobs.content.noise import DEEPEST, without_noise

#: Settings that a tenant makes by itself: onboarding blobs of Microsoft Defender.
_OWN_BLOBS = ("defender_onboarding", "defender_offboarding", "onboardingblob", "offboardingblob")


def keyed_settings(items: Sequence[Json]) -> Json:
    """Settings by definition id: a value, a sorted list of values, or children of the same form.

    Raises:
        MalformedContent: an item is no setting.
    """
    instances = []
    for item in items:
        instance = item.get("settingInstance") if isinstance(item, dict) else None
        if not isinstance(instance, dict):
            raise MalformedContent("a setting without an instance")
        instances.append(instance)
    return _keyed(instances, depth=0)


def _keyed(instances: Iterable[Any], *, depth: int) -> Json:
    if depth > DEEPEST:
        raise MalformedContent(f"its settings are nested deeper than {DEEPEST} levels")
    keyed: Json = {}
    for instance in instances:
        if not isinstance(instance, dict):
            raise MalformedContent("a setting that is no object")
        definition = instance.get("settingDefinitionId")
        if not isinstance(definition, str) or not definition:
            # Nobody can say what it sets.
            continue
        if any(blob in definition.lower() for blob in _OWN_BLOBS):
            continue
        keyed[definition] = _value(instance, depth=depth + 1)
    return keyed


def _value(instance: Json, *, depth: int) -> Any:
    for key, read in _READERS.items():
        if key in instance:
            return read(instance[key], depth)
    # A kind of setting that this version does not know is compared as it is.
    return without_noise(
        {key: value for key, value in instance.items() if not key.endswith("TemplateReference")}
    )


def _simple(value: Any, depth: int) -> Any:
    del depth
    if not isinstance(value, dict):
        raise MalformedContent("a simple setting without a value")
    kind = str(value.get("@odata.type", ""))
    if kind.endswith("SecretSettingValue"):
        return {"secret": "set" if value.get("value") else "not set"}
    return without_noise(value.get("value"))


def _choice(value: Any, depth: int) -> Any:
    if not isinstance(value, dict):
        raise MalformedContent("a choice setting without a value")
    children = _children(value, depth)
    chosen = value.get("value")
    return {"value": chosen, "children": children} if children else chosen


def _group(value: Any, depth: int) -> Any:
    if not isinstance(value, dict):
        raise MalformedContent("a group setting without a value")
    return _children(value, depth)


def _children(value: Json, depth: int) -> Json:
    children = value.get("children") or []
    if not isinstance(children, list):
        raise MalformedContent("children of a setting that are no list")
    return _keyed(children, depth=depth + 1)


def _each(read: Any) -> Any:
    def of_all(values: Any, depth: int) -> list[Any]:
        if not isinstance(values, list):
            raise MalformedContent("a collection of settings that is no list")
        # As a set: Graph keeps no order of what a collection holds.
        return sorted((read(value, depth + 1) for value in values), key=canonical_json)

    return of_all


_READERS = {
    "choiceSettingValue": _choice,
    "choiceSettingCollectionValue": _each(_choice),
    "simpleSettingValue": _simple,
    "simpleSettingCollectionValue": _each(_simple),
    "groupSettingValue": _group,
    "groupSettingCollectionValue": _each(_group),
}
