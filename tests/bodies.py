"""Bodies that the local Graph takes, one for each collection, and what they are made of."""

from __future__ import annotations

from typing import Any

from tests.provider import Provider

CATALOG = "beta/deviceManagement/configurationPolicies"
LINUX = "beta/deviceManagement/compliancePolicies"
CONFIGURATIONS = "v1.0/deviceManagement/deviceConfigurations"
COMPLIANCE = "v1.0/deviceManagement/deviceCompliancePolicies"
FILTERS = "beta/deviceManagement/assignmentFilters"
TAGS = "beta/deviceManagement/roleScopeTags"
GROUPS = "v1.0/groups"
ACCESS = "v1.0/identity/conditionalAccess/policies"

NOW, LATER = "2026-03-20T10:00:00.0000000Z", "2026-03-20T10:01:00.0000000Z"

CHOICE = "#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance"


def setting(definition: str, kind: str = CHOICE) -> dict[str, Any]:
    value = {"value": f"{definition}_1", "children": []}
    return {
        "settingInstance": {
            "@odata.type": kind,
            "settingDefinitionId": definition,
            "choiceSettingValue": value,
        }
    }


def rule(**action: Any) -> dict[str, Any]:
    block = {"actionType": "block", "gracePeriodHours": 12, **action}
    return {"ruleName": "PasswordRequired", "scheduledActionConfigurations": [block]}


BODIES: dict[str, dict[str, Any]] = {
    CATALOG: {
        "name": "New",
        "platforms": "windows10",
        "technologies": "mdm",
        "settings": [setting("device_a"), setting("device_b")],
    },
    LINUX: {
        "name": "New",
        "platforms": "linux",
        "technologies": "linuxMdm",
        "settings": [setting("linux_a")],
        "scheduledActionsForRule": [rule()],
    },
    CONFIGURATIONS: {
        "@odata.type": "#microsoft.graph.windows10GeneralConfiguration",
        "displayName": "New",
        "cameraBlocked": True,
    },
    COMPLIANCE: {
        "@odata.type": "microsoft.graph.windows10CompliancePolicy",
        "displayName": "New",
        "scheduledActionsForRule": [rule()],
    },
    FILTERS: {"displayName": "New", "platform": "iOS", "rule": '(device.model -eq "x")'},
    TAGS: {"displayName": "New"},
    "v1.0/deviceManagement/roleDefinitions": {"displayName": "New", "rolePermissions": []},
    "v1.0/deviceManagement/notificationMessageTemplates": {"displayName": "New"},
    GROUPS: {
        "displayName": "New",
        "mailEnabled": False,
        "mailNickname": "new",
        "securityEnabled": True,
    },
    ACCESS: {"displayName": "New", "state": "disabled", "conditions": {}},
}


def created(provider: Provider, path: str, **changes: Any) -> dict[str, Any]:
    answer = provider.send("POST", path, {**BODIES[path], **changes})
    assert answer.status_code == 201, answer.text
    entity: dict[str, Any] = answer.json()
    return entity
