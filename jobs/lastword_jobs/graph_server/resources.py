"""What a collection is: its path, versions, permissions, pages and parts; not which there are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: The most objects a page holds, whatever is asked for.
MAX_PAGE = 1000

#: Objects on a page of the settings catalog and of everything that hangs on a policy.
SETTINGS_PAGE = 25


class Workload(StrEnum):
    """The service behind a route; each counts and limits requests by itself."""

    INTUNE = "intune"
    DIRECTORY = "directory"
    CONDITIONAL_ACCESS = "conditional_access"


class Part(StrEnum):
    """What hangs on an object, by the segment after its id."""

    ASSIGNMENTS = "assignments"
    ASSIGN = "assign"
    SETTINGS = "settings"
    RULES = "scheduledActionsForRule"
    SCHEDULE_RULES = "scheduleActionsForRules"
    SET_ACTIONS = "setScheduledActions"
    PLAIN_TEXT = "getOmaSettingPlainTextValue"


#: Read-only properties, whatever the resource.
READ_ONLY = frozenset(
    {
        "id",
        "createdDateTime",
        "lastModifiedDateTime",
        "version",
        "settingCount",
        "isAssigned",
        "supportsScopeTags",
        "isBuiltIn",
        "isBuiltInRoleDefinition",
        "creationSource",
        "deletedDateTime",
    }
)

BOTH_VERSIONS = frozenset({"v1.0", "beta"})


@dataclass(frozen=True, slots=True)
class Resource:
    """A collection of objects.

    Attributes:
        name: its key in a tenant.
        path: its path below the version.
        permission: the roles of which one is needed to read, and those to write.
        versions: the API versions that have it.
        workload: which service answers.
        methods: what may be done with it.
        page: objects on a page unless fewer are asked for.
        most: objects on a page at most.
        name_key: the property that holds an object's name.
        properties: the properties that every object has; what may be selected.
        types: the `@odata.type`s an object may have.
        names_its_type: whether a body must say which of these it is, since only the type
            tells which further properties there are.
        required: properties without which there is no object.
        parts: what hangs on an object.
        units: resource units a read costs in the directory.
    """

    name: str
    path: str
    permission: tuple[frozenset[str], frozenset[str]]
    versions: frozenset[str] = BOTH_VERSIONS
    workload: Workload = Workload.INTUNE
    methods: frozenset[str] = frozenset({"GET", "POST", "PATCH", "DELETE"})
    page: int = MAX_PAGE
    most: int = MAX_PAGE
    name_key: str = "displayName"
    properties: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    names_its_type: bool = False
    required: frozenset[str] = frozenset()
    parts: frozenset[Part] = frozenset()
    units: int = 1

    @property
    def expandable(self) -> frozenset[str]:
        """The parts that `$expand` brings along."""
        return self.parts & {Part.ASSIGNMENTS, Part.SETTINGS, Part.RULES}

    @property
    def counts_its_page(self) -> bool:
        """Whether `@odata.count` is there unasked and is the page's, not the collection's."""
        return self.most == SETTINGS_PAGE
