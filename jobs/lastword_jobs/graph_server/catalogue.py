"""What the server has: every collection and every single document, in tables."""

from __future__ import annotations

from collections.abc import Mapping

from lastword_jobs.graph_server import known_types
from lastword_jobs.graph_server.resources import SETTINGS_PAGE, Part, Resource, Workload

_BETA = frozenset({"beta"})
_READ = frozenset({"GET"})
_ALL = frozenset({"GET", "POST", "PATCH", "DELETE"})


def _permission(name: str) -> tuple[frozenset[str], frozenset[str]]:
    # Who may write may read.
    return frozenset({f"{name}.Read.All", f"{name}.ReadWrite.All"}), frozenset(
        {f"{name}.ReadWrite.All"}
    )


CONFIGURATION = _permission("DeviceManagementConfiguration")
RBAC = _permission("DeviceManagementRBAC")
GROUPS = (
    frozenset({"GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All"}),
    frozenset({"Group.ReadWrite.All"}),
)
POLICY = (
    frozenset({"Policy.Read.All"}),
    frozenset({"Policy.ReadWrite.ConditionalAccess"}),
)


def _only(role: str) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset({role}), frozenset()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STAMPS = "id createdDateTime lastModifiedDateTime description "
_CATALOG = _words(
    _STAMPS + "creationSource isAssigned name platforms priorityMetaData roleScopeTagIds "
    "settingCount technologies templateReference"
)
_CATALOG_PARTS = frozenset({Part.ASSIGNMENTS, Part.ASSIGN, Part.SETTINGS})
_DERIVED = _words(_STAMPS + "displayName version roleScopeTagIds")
_APPLICABILITY = _words(
    "supportsScopeTags deviceManagementApplicabilityRuleOsEdition "
    "deviceManagementApplicabilityRuleOsVersion deviceManagementApplicabilityRuleDeviceMode"
)

_POLICIES = (
    Resource(
        "configurationPolicies",
        "deviceManagement/configurationPolicies",
        CONFIGURATION,
        versions=_BETA,
        methods=_ALL | {"PUT"},
        page=SETTINGS_PAGE,
        most=SETTINGS_PAGE,
        name_key="name",
        properties=_CATALOG,
        types=known_types.CATALOG_POLICY,
        required=_words("name platforms technologies settings"),
        parts=_CATALOG_PARTS,
    ),
    Resource(
        "compliancePolicies",
        "deviceManagement/compliancePolicies",
        CONFIGURATION,
        versions=_BETA,
        methods=_ALL | {"PUT"},
        page=SETTINGS_PAGE,
        most=SETTINGS_PAGE,
        name_key="name",
        properties=_CATALOG - {"templateReference", "priorityMetaData"},
        types=known_types.CATALOG_COMPLIANCE,
        required=_words("name platforms technologies settings scheduledActionsForRule"),
        parts=_CATALOG_PARTS | {Part.RULES, Part.SET_ACTIONS},
    ),
    Resource(
        "deviceConfigurations",
        "deviceManagement/deviceConfigurations",
        CONFIGURATION,
        properties=_DERIVED | _APPLICABILITY,
        types=known_types.CONFIGURATION,
        names_its_type=True,
        required=_words("displayName"),
        parts=frozenset({Part.ASSIGNMENTS, Part.ASSIGN, Part.PLAIN_TEXT}),
    ),
    Resource(
        "deviceCompliancePolicies",
        "deviceManagement/deviceCompliancePolicies",
        CONFIGURATION,
        properties=_DERIVED,
        types=known_types.COMPLIANCE,
        names_its_type=True,
        required=_words("displayName scheduledActionsForRule"),
        parts=frozenset({Part.ASSIGNMENTS, Part.ASSIGN, Part.RULES, Part.SCHEDULE_RULES}),
    ),
)

_FOUNDATIONS = (
    Resource(
        "assignmentFilters",
        "deviceManagement/assignmentFilters",
        CONFIGURATION,
        versions=_BETA,
        properties=_words(
            _STAMPS + "displayName platform rule roleScopeTags assignmentFilterManagementType "
            "payloads"
        ),
        types=known_types.FILTER,
        required=_words("displayName platform rule"),
    ),
    Resource(
        "roleScopeTags",
        "deviceManagement/roleScopeTags",
        RBAC,
        versions=_BETA,
        properties=_words("id displayName description isBuiltIn"),
        types=known_types.SCOPE_TAG,
        required=_words("displayName"),
    ),
    Resource(
        "roleDefinitions",
        "deviceManagement/roleDefinitions",
        RBAC,
        properties=_words(
            "id displayName description isBuiltIn isBuiltInRoleDefinition rolePermissions "
            "roleScopeTagIds"
        ),
        types=known_types.DEVICE_ROLE,
        required=_words("displayName rolePermissions"),
    ),
    Resource(
        "notificationMessageTemplates",
        "deviceManagement/notificationMessageTemplates",
        CONFIGURATION,
        properties=_words(
            "id lastModifiedDateTime displayName description defaultLocale brandingOptions "
            "roleScopeTagIds"
        ),
        types=known_types.NOTIFICATION,
        required=_words("displayName"),
    ),
)

_DIRECTORY = (
    Resource(
        "groups",
        "groups",
        GROUPS,
        workload=Workload.DIRECTORY,
        page=100,
        most=999,
        properties=_words(
            "id deletedDateTime classification createdDateTime description displayName "
            "expirationDateTime groupTypes isAssignableToRole mail mailEnabled mailNickname "
            "membershipRule membershipRuleProcessingState onPremisesSyncEnabled "
            "onPremisesLastSyncDateTime securityEnabled visibility"
        ),
        types=known_types.GROUP,
        required=_words("displayName mailEnabled mailNickname securityEnabled"),
    ),
    Resource(
        "directoryRoleDefinitions",
        "roleManagement/directory/roleDefinitions",
        _only("RoleManagement.Read.Directory"),
        workload=Workload.DIRECTORY,
        methods=_READ,
        properties=_words(
            "id description displayName isBuiltIn isEnabled resourceScopes templateId version "
            "rolePermissions"
        ),
    ),
    Resource(
        "organization",
        "organization",
        _only("Organization.Read.All"),
        workload=Workload.DIRECTORY,
        methods=_READ,
        properties=_words("id displayName createdDateTime countryLetterCode verifiedDomains"),
    ),
    Resource(
        "subscribedSkus",
        "subscribedSkus",
        _only("Organization.Read.All"),
        workload=Workload.DIRECTORY,
        methods=_READ,
        name_key="skuPartNumber",
        properties=_words(
            "id skuId skuPartNumber appliesTo capabilityStatus consumedUnits prepaidUnits"
        ),
        units=3,
    ),
    Resource(
        "secureScores",
        "security/secureScores",
        _only("SecurityEvents.Read.All"),
        workload=Workload.DIRECTORY,
        methods=_READ,
        name_key="id",
        properties=_words("id azureTenantId createdDateTime currentScore maxScore activeUserCount"),
    ),
    Resource(
        "conditionalAccessPolicies",
        "identity/conditionalAccess/policies",
        POLICY,
        workload=Workload.CONDITIONAL_ACCESS,
        properties=_words(
            "id createdDateTime modifiedDateTime displayName state conditions grantControls "
            "sessionControls templateId"
        ),
        types=known_types.CONDITIONAL_ACCESS,
        required=_words("displayName state conditions"),
    ),
    Resource(
        "auditEvents",
        "deviceManagement/auditEvents",
        _only("DeviceManagementApps.Read.All"),
        methods=_READ,
        properties=_words(
            "id displayName componentName activityDateTime activityType activityResult"
        ),
    ),
)

RESOURCES = (*_POLICIES, *_FOUNDATIONS, *_DIRECTORY)

BY_PATH: Mapping[str, Resource] = {resource.path: resource for resource in RESOURCES}

BY_NAME: Mapping[str, Resource] = {resource.name: resource for resource in RESOURCES}

#: Collections that hold policies, which settings, assignments and rules hang on.
POLICY_COLLECTIONS = tuple(resource.name for resource in _POLICIES)

#: Single documents, with the permission that reads each.
DOCUMENTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "deviceManagement/deviceCompliancePolicyDeviceStateSummary": CONFIGURATION,
    "deviceManagement/managedDeviceOverview": _permission("DeviceManagementManagedDevices"),
}

#: Every role there is: what an application has unless some are taken away.
ALL_ROLES = frozenset(
    role
    for reads, writes in (
        *(resource.permission for resource in RESOURCES),
        *DOCUMENTS.values(),
    )
    for role in reads | writes
)
