"""What the provider has: every type of object with its path, its parts, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Writing(StrEnum):
    """What a restore may do with a type."""

    ENABLED = "enabled"
    #: Shown in a preview, never written: a mistake here locks people out.
    PREVIEW_ONLY = "preview_only"


@dataclass(frozen=True, slots=True)
class Contract:
    """One type of object.

    Attributes:
        type: our name of the type.
        path: the path below the version.
        version: the API version.
        name_key: the property that holds its name.
        is_policy: whether it is a policy; else a foundation that policies refer to.
        expand: parts that come along when one object is read.
        parts: parts that are read apart, by the segment after the id.
        update: the method that writes an existing object.
        rules: the segment that takes the rules of an existing object; empty if it has none.
        writing: what a restore may do with it.
        order: when a restore writes it: what others refer to comes first.
    """

    type: str
    path: str
    version: str
    name_key: str = "displayName"
    is_policy: bool = True
    expand: str = ""
    parts: tuple[str, ...] = field(default=())
    update: str = "PATCH"
    rules: str = ""
    writing: Writing = Writing.ENABLED
    order: int = 100

    @property
    def listing(self) -> str:
        """The path of the collection, with its version."""
        return f"{self.version}/{self.path}"

    def one(self, external_id: str) -> str:
        """The path of one object, with what is read along."""
        return f"{self.listing}/{external_id}" + (f"?$expand={self.expand}" if self.expand else "")

    def part(self, external_id: str, name: str) -> str:
        """The path of a part of one object, or of an action on it."""
        return f"{self.listing}/{external_id}/{name}"


SETTINGS, ASSIGNMENTS = "settings", "assignments"
_RULES = "scheduledActionsForRule($expand=scheduledActionConfigurations)"

CONTRACTS = (
    Contract(
        "settingsCatalog",
        "deviceManagement/configurationPolicies",
        "beta",
        "name",
        parts=(SETTINGS, ASSIGNMENTS),
        update="PUT",
    ),
    Contract(
        "deviceConfiguration",
        "deviceManagement/deviceConfigurations",
        "v1.0",
        parts=(ASSIGNMENTS,),
    ),
    Contract(
        "deviceCompliance",
        "deviceManagement/deviceCompliancePolicies",
        "v1.0",
        expand=_RULES,
        parts=(ASSIGNMENTS,),
        rules="scheduleActionsForRules",
    ),
    Contract(
        "linuxCompliance",
        "deviceManagement/compliancePolicies",
        "beta",
        "name",
        expand=_RULES,
        parts=(SETTINGS, ASSIGNMENTS),
        update="PUT",
        rules="setScheduledActions",
    ),
    Contract(
        "conditionalAccess",
        "identity/conditionalAccess/policies",
        "v1.0",
        writing=Writing.PREVIEW_ONLY,
    ),
    Contract("roleScopeTag", "deviceManagement/roleScopeTags", "beta", is_policy=False, order=10),
    Contract(
        "assignmentFilter", "deviceManagement/assignmentFilters", "beta", is_policy=False, order=15
    ),
    Contract("deviceRole", "deviceManagement/roleDefinitions", "v1.0", is_policy=False, order=20),
    Contract(
        "notificationTemplate",
        "deviceManagement/notificationMessageTemplates",
        "v1.0",
        is_policy=False,
        order=40,
    ),
)

POLICY_TYPES = tuple(contract.type for contract in CONTRACTS if contract.is_policy)
ALL_TYPES = tuple(contract.type for contract in CONTRACTS)

BY_TYPE = {contract.type: contract for contract in CONTRACTS}
