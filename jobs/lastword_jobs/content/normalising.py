"""From what was read to what is compared: the one normaliser of capture, compare and restore."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from lastword.identity import canonical_json
from lastword.storage.ledger import as_json
from lastword_jobs.content.assignments import Unresolved, portable_assignments
from lastword_jobs.content.catalog import keyed_settings
from lastword_jobs.content.documents import Captured, Content, Json, MalformedContent, Names
from lastword_jobs.content.noise import (
    ABOUT_ITSELF,
    APART,
    DEFAULT_TAG,
    NO_ID,
    is_state,
    without_noise,
)

#: Lists whose order means nothing, by the property that holds them.
_SETS = frozenset(
    {
        *("notificationMessageCCList", "allowedResourceActions", "notAllowedResourceActions"),
        *("includeRoles", "excludeRoles", "includeApplications", "excludeApplications"),
        "clientAppTypes",
        *("builtInControls", "defenderFilesAndFoldersToExclude", "edgeHomepageUrls"),
        *("compliantAppsList", "appsVisibilityList"),
    }
)

#: Properties that hold ids of which other tenants have others, and of what.
_ID_LISTS: Mapping[str, str] = {
    "includeGroups": "group",
    "excludeGroups": "group",
    "includeUsers": "user",
    "excludeUsers": "user",
    "includeLocations": "location",
    "excludeLocations": "location",
}

#: Characters of a folded name that a key holds.
LONGEST_NAME = 1000

#: Words that conditional access has among the ids.
_WORDS = frozenset({"All", "None", "AllTrusted", "GuestsOrExternalUsers"})


def normalise(captured: Captured, names: Names) -> Content:
    """A policy without noise, without ids, and with names for what it refers to.

    Two policies that do the same have the same content, in whichever tenant they are and in
    whichever order Graph told of them.

    Raises:
        MalformedContent: it is not shaped as Graph shapes it.
    """
    try:
        return _normalised(captured, names)
    except ValueError as error:
        raise MalformedContent(f"a value that JSON does not have ({error})") from error


def _normalised(captured: Captured, names: Names) -> Content:
    if not isinstance(captured.entity, dict):
        raise MalformedContent("a policy that is no object")
    unresolved = Unresolved()
    own = {
        key: value
        for key, value in captured.entity.items()
        if key not in ABOUT_ITSELF | APART and not is_state(key)
    }
    settings: Json = _in_order(without_noise(own), names, unresolved)
    if captured.settings:
        settings["settings"] = keyed_settings(captured.settings)
    rules = captured.entity.get("scheduledActionsForRule")
    if rules:
        settings["rules"] = _rules(rules, names, unresolved)
    tags = captured.entity.get("roleScopeTagIds") or captured.entity.get("roleScopeTags") or []
    content = Content(
        type=captured.type,
        name=captured.name,
        settings=settings,
        assignments=portable_assignments(captured.assignments, names, unresolved),
        scope_tags=_tags(tags, names, unresolved),
        unresolved=tuple(sorted(unresolved.seen)),
    )
    # As it will be once it was kept: what no database can hold must be no difference then.
    return Content.from_document(json.loads(as_json(content.document())))


def portable_key(name: str, type_: str) -> str:
    """By what a policy is found in another tenant: its type and its name, however written."""
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    if len(plain) > LONGEST_NAME:
        # Some characters become eighteen: what is cut off still tells names apart.
        digest = hashlib.sha256(plain.encode(errors="replace")).hexdigest()
        plain = f"{plain[: LONGEST_NAME - len(digest)]}{digest}"
    return f"{type_}:{plain}"


def _tags(tags: Any, names: Names, unresolved: Unresolved) -> tuple[str, ...]:
    if not isinstance(tags, list):
        raise MalformedContent("scope tags that are no list")
    # The default one has the same id everywhere, and may be left out.
    own = {"Default" if str(tag) == DEFAULT_TAG else _tag(tag, names, unresolved) for tag in tags}
    return tuple(sorted(own or {"Default"}))


def _tag(tag: Any, names: Names, unresolved: Unresolved) -> str:
    return unresolved.name("scope tag", names.scope_tags, tag)


def _rules(rules: Any, names: Names, unresolved: Unresolved) -> list[Json]:
    if not isinstance(rules, list):
        raise MalformedContent("scheduled actions that are no list")
    actions = []
    for rule in rules:
        configurations = rule.get("scheduledActionConfigurations") if isinstance(rule, dict) else 0
        if not isinstance(configurations, list):
            raise MalformedContent("a rule without scheduled actions")
        actions += [_action(action, names, unresolved) for action in configurations]
    # One rule is all that a policy can have, whatever Graph calls it.
    return sorted(actions, key=canonical_json)


def _action(action: Any, names: Names, unresolved: Unresolved) -> Json:
    if not isinstance(action, dict):
        raise MalformedContent("a scheduled action that is no object")
    kept: Json = _in_order(
        without_noise({key: value for key, value in action.items() if key != "id"}),
        names,
        unresolved,
    )
    template = kept.pop("notificationTemplateId", None)
    if template not in (None, NO_ID):
        kept["notification"] = unresolved.name("template", names.templates, template)
    return kept


def _in_order(value: Any, names: Names, unresolved: Unresolved, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _in_order(item, names, unresolved, name) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    items = [_in_order(item, names, unresolved) for item in value]
    if key in _ID_LISTS:
        items = _named(items, _ID_LISTS[key], names, unresolved)
    if key in _SETS or key in _ID_LISTS:
        items.sort(key=canonical_json)
    return items


def _named(items: Sequence[Any], kind: str, names: Names, unresolved: Unresolved) -> list[Any]:
    known = names.groups if kind == "group" else {}
    return [
        item if isinstance(item, str) and item in _WORDS else unresolved.name(kind, known, item)
        for item in items
    ]
