"""What is noise: properties that say nothing of what a policy does, and values that mean nothing.

From what IntuneCD, IntuneManagement, Microsoft365DSC and CIPP drop before they compare, and from
what their users report as drift that is none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from lastword_jobs.content.documents import Json, MalformedContent

#: Levels of a document; more is no policy, and would exhaust the stack.
DEEPEST = 100

NO_ID = "00000000-0000-0000-0000-000000000000"

#: The scope tag that every tenant has, under the same id.
DEFAULT_TAG = "0"

#: What stands for a secret that Graph does not show.
HIDDEN = "****"

#: Properties of an object itself that tell of it and not of what it does.
ABOUT_ITSELF = frozenset(
    {
        *("id", "createdDateTime", "lastModifiedDateTime", "modifiedDateTime", "version"),
        *("supportsScopeTags", "isAssigned", "settingCount", "creationSource", "priorityMetaData"),
        *("deployedAppCount", "highestAvailableVersion", "isGlobalScript", "isReadOnly"),
        *("lastSyncDateTime", "topicIdentifier", "token", "sourceId", "isBuiltIn"),
        *("isBuiltInRoleDefinition", "payloads", "deletedDateTime"),
    }
)

#: Properties that are no part of the settings because they are compared apart, or are the name.
APART = frozenset(
    {
        *("assignments", "settings", "roleScopeTagIds", "roleScopeTags", "displayName", "name"),
        "scheduledActionsForRule",
    }
)

#: Properties that are noise wherever they stand.
_NOISE = frozenset({"secretReferenceValueId", "isEncrypted"})

#: What an update ring says of its state.
_STATE = re.compile(r".*(PauseStartDate|PauseExpiryDateTime|WillBeRolledBack)$")

#: Texts about a template that Microsoft words anew.
_DISPLAY = re.compile(r"template(DisplayName|DisplayVersion)$")

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def without_noise(value: Any, *, depth: int = 0) -> Any:
    """A value without annotations, references to secrets and what is not configured.

    Raises:
        MalformedContent: it is nested deeper than any policy.
    """
    if depth > DEEPEST:
        raise MalformedContent(f"it is nested deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {
            key: kept
            for key, item in value.items()
            if not is_noise(key) and not means_nothing(kept := _kept(value, key, item, depth))
        }
    if isinstance(value, list):
        return [without_noise(item, depth=depth + 1) for item in value]
    return without_zone(value) if isinstance(value, str) else value


def is_noise(key: str) -> bool:
    """Whether a property says nothing, wherever it stands."""
    return key in _NOISE or is_annotation(key) or _DISPLAY.match(key) is not None


def is_annotation(key: str) -> bool:
    """Whether a property is Graph's own remark, beside the discriminator, which is none."""
    return key.startswith("#microsoft.graph.") or ("@odata." in key and key != "@odata.type")


def is_state(key: str) -> bool:
    """Whether a property of an update ring tells of its state."""
    return _STATE.match(key) is not None


def means_nothing(value: Any) -> bool:
    """Whether a value is another way to say "not configured". False and 0 are not."""
    return value is None or value == "" or value == [] or value == {}


def plain_type(value: Any) -> Any:
    """A discriminator without the `#` that Graph writes in one place and not in another."""
    return value.removeprefix("#") if isinstance(value, str) else value


def without_zone(text: str) -> str:
    """A moment in UTC without trailing zeros, if the text is one; else the text, verbatim."""
    if not _MOMENT.fullmatch(text):
        return text
    try:
        # Graph writes seven decimals; Python reads six.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return text
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError:
        return text


def _kept(owner: Json, key: str, item: Any, depth: int) -> Any:
    if key == "@odata.type":
        return plain_type(item)
    if key == "value" and owner.get("isEncrypted") is True:
        # It may or may not be shown, and must not be kept either way.
        return HIDDEN
    return without_noise(item, depth=depth + 1)
