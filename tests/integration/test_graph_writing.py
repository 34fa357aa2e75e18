"""Writing to the local Graph: what is stamped and counted, and everything that is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import TENANT, Provider

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


def refusal(provider: Provider, method: str, path: str, body: Any) -> str:
    answer = provider.send(method, path, content=json.dumps(body).encode())
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


# What is done


@pytest.mark.parametrize("path", BODIES)
def test_what_is_created_can_be_read_changed_and_deleted(provider: Provider, path: str) -> None:
    provider.lab("rules", scale=0)
    entity = created(provider, path)
    name_key = "name" if "name" in entity else "displayName"
    change = {name_key: "Changed"}
    if "@odata.type" in BODIES[path]:
        change["@odata.type"] = BODIES[path]["@odata.type"]
    one = f"{path}/{entity['id']}"
    is_directory = path in (GROUPS, ACCESS)
    assert provider.send("PATCH", one, change).status_code == (204 if is_directory else 200)
    assert provider.ask(one).json()[name_key] == "Changed"
    assert provider.send("DELETE", one).status_code == 204
    assert provider.ask(one).status_code == 404
    assert provider.send("DELETE", one).status_code == 404


def test_a_policy_is_stamped_and_each_change_is_a_version(provider: Provider) -> None:
    clock = provider.stop_time()
    policy = created(provider, CONFIGURATIONS)
    assert (policy["createdDateTime"], policy["lastModifiedDateTime"]) == (NOW, NOW)
    assert (policy["version"], policy["roleScopeTagIds"]) == (1, ["0"])
    clock.wait(60)
    change = {"@odata.type": policy["@odata.type"], "description": "x"}
    changed = provider.send("PATCH", f"{CONFIGURATIONS}/{policy['id']}", change).json()
    assert (changed["createdDateTime"], changed["lastModifiedDateTime"]) == (NOW, LATER)
    assert (changed["version"], changed["description"]) == (2, "x")
    assert changed["cameraBlocked"] is True


def test_the_same_requests_make_the_same_ids(provider: Provider) -> None:
    ids = []
    for _ in range(2):
        provider.start_afresh()
        ids.append([created(provider, CATALOG)["id"] for _ in range(3)])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 3


def test_two_policies_may_have_one_name(provider: Provider) -> None:
    first, second = created(provider, CATALOG), created(provider, CATALOG)
    assert first["id"] != second["id"]
    assert len(provider.all_pages(f"{CATALOG}?$filter=name eq 'New'")) == 2


def test_put_replaces_every_setting_and_the_count_follows(provider: Provider) -> None:
    policy = created(provider, CATALOG)
    assert (policy["settingCount"], policy["isAssigned"]) == (2, False)
    one = f"{CATALOG}/{policy['id']}"
    body = {**BODIES[CATALOG], "settings": [setting("device_c")]}
    assert provider.send("PUT", one, body).status_code == 204
    [kept] = provider.all_pages(f"{one}/settings")
    assert (kept["id"], kept["settingInstance"]["settingDefinitionId"]) == ("0", "device_c")
    assert provider.ask(one).json()["settingCount"] == 1


def test_scheduled_actions_are_replaced_by_an_action_of_their_own(provider: Provider) -> None:
    policy = created(provider, COMPLIANCE)
    one = f"{COMPLIANCE}/{policy['id']}"
    body = {"deviceComplianceScheduledActionForRules": [rule(gracePeriodHours=99)]}
    assert provider.send("POST", f"{one}/scheduleActionsForRules", body).status_code == 204
    path = f"{one}/scheduledActionsForRule?$expand=scheduledActionConfigurations"
    [kept] = provider.ask(path).json()["value"]
    assert [item["gracePeriodHours"] for item in kept["scheduledActionConfigurations"]] == [99]


def test_a_linux_policy_takes_its_actions_under_another_name(provider: Provider) -> None:
    one = f"{LINUX}/{created(provider, LINUX)['id']}"
    body = {"scheduledActions": [rule(gracePeriodHours=5)]}
    answer = provider.send("POST", f"{one}/setScheduledActions", body)
    assert answer.status_code == 200
    [kept] = answer.json()["value"]
    assert kept["scheduledActionConfigurations"][0]["gracePeriodHours"] == 5


def test_a_new_policy_cannot_be_found_before_it_has_come_round(provider: Provider) -> None:
    clock = provider.stop_time()
    provider.lab("rules", consistency_s=5)
    policy = created(provider, CATALOG)
    one = f"{CATALOG}/{policy['id']}"
    assert provider.ask(one).status_code == 404
    assert provider.send("POST", f"{one}/assign", {"assignments": []}).status_code == 404
    clock.wait(5)
    assert provider.ask(one).status_code == 200


def test_read_only_properties_are_ignored_where_the_server_is_lenient(provider: Provider) -> None:
    provider.lab("rules", strict=False)
    policy = created(provider, CATALOG, id="mine", settingCount=7, createdDateTime="x")
    assert policy["id"] != "mine"
    assert policy["settingCount"] == 2
    assert policy["createdDateTime"] != "x"


# What is refused


@pytest.mark.parametrize(
    ("path", "changes", "words"),
    [
        (CONFIGURATIONS, {"@odata.type": "#microsoft.graph.noSuchThing"}, "noSuchThing"),
        (CONFIGURATIONS, {"@odata.type": "#microsoft.graph.iosCompliancePolicy"}, "iosCompliance"),
        (CONFIGURATIONS, {"@odata.type": None}, "abstract"),
        (CONFIGURATIONS, {"@odata.type": 5}, "Invalid type"),
        (CATALOG, {"@odata.type": "#microsoft.graph.group"}, "Invalid type"),
        (CONFIGURATIONS, {"displayName": None}, "'displayName' is required"),
        (CONFIGURATIONS, {"displayName": " "}, "displayName"),
        (CONFIGURATIONS, {"displayName": 7}, "displayName"),
        (CONFIGURATIONS, {"displayName": "x" * 1001}, "displayName"),
        (CONFIGURATIONS, {"description": ["x"]}, "description"),
        (CONFIGURATIONS, {"id": "mine"}, "'id' is read-only"),
        (CONFIGURATIONS, {"version": 3}, "'version' is read-only"),
        (CONFIGURATIONS, {"createdDateTime": NOW}, "read-only"),
        (CONFIGURATIONS, {"assignments": []}, "assign"),
        (CONFIGURATIONS, {"roleScopeTagIds": ["none"]}, "No scope tag 'none'"),
        (CONFIGURATIONS, {"roleScopeTagIds": "0"}, "must be a collection"),
        (CATALOG, {"isAssigned": True}, "'isAssigned' is read-only"),
        (CATALOG, {"settingCount": 1}, "'settingCount' is read-only"),
        (CATALOG, {"colour": "red"}, "'colour' does not exist"),
        (CATALOG, {"displayName": "New"}, "'displayName' does not exist"),
        (CATALOG, {"platforms": 7}, "platforms"),
        (CATALOG, {"settings": None}, "'settings' is required"),
        (CATALOG, {"settings": {}}, "must be a collection"),
        (CATALOG, {"settings": [{"id": "0"}]}, "settings[0]"),
        (CATALOG, {"settings": [setting("Device A")]}, "no setting definition"),
        (CATALOG, {"settings": [setting("a", "#microsoft.graph.x")]}, "unknown type"),
        (CATALOG, {"settings": [setting("a"), setting("a")]}, "a second time"),
        (COMPLIANCE, {"scheduledActionsForRule": None}, "scheduledActionsForRule"),
        (COMPLIANCE, {"scheduledActionsForRule": []}, "must hold one rule"),
        (COMPLIANCE, {"scheduledActionsForRule": [rule(), rule()]}, "must hold one rule"),
        (COMPLIANCE, {"scheduledActionsForRule": [rule(actionType="retire")]}, "'block'"),
        (COMPLIANCE, {"scheduledActionsForRule": [rule(gracePeriodHours=-1)]}, "gracePeriodHours"),
        (COMPLIANCE, {"scheduledActionsForRule": [rule(notificationTemplateId="x")]}, "template"),
        (FILTERS, {"rule": None}, "'rule' is required"),
        (FILTERS, {"roleScopeTags": ["none"]}, "No scope tag"),
        (GROUPS, {"securityEnabled": "yes"}, "securityEnabled"),
        (GROUPS, {"mailNickname": None}, "mailNickname"),
        (ACCESS, {"state": "on"}, "Invalid value 'on'"),
        (ACCESS, {"state": ["on"]}, "state"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_by_name_and_leaves_no_trace(
    provider: Provider, path: str, changes: dict[str, Any], words: str
) -> None:
    provider.lab("rules", scale=0)
    before = json.dumps(provider.graph.tenants[TENANT].collections)
    body = {key: value for key, value in {**BODIES[path], **changes}.items() if value is not None}
    assert words in refusal(provider, "POST", path, body)
    assert json.dumps(provider.graph.tenants[TENANT].collections) == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"displayName": "x"}, "abstract"),
        ({"@odata.type": "#microsoft.graph.iosCompliancePolicy"}, "cannot change"),
        ({"scheduledActionsForRule": [rule()]}, "cannot be changed by PATCH"),
        ({"displayName": None}, "displayName"),
        ({"lastModifiedDateTime": NOW}, "read-only"),
        ({"assignments": []}, "cannot be changed by PATCH"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    provider: Provider, body: dict[str, Any], words: str
) -> None:
    policy = created(provider, COMPLIANCE)
    body = body if "abstract" in words else {"@odata.type": policy["@odata.type"], **body}
    one = f"{COMPLIANCE}/{policy['id']}"
    assert words in refusal(provider, "PATCH", one, body)
    assert provider.ask(one).json()["version"] == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"name": NaN}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_refused(provider: Provider, content: bytes) -> None:
    answer = provider.send("POST", CATALOG, content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_a_body_of_another_kind_or_beyond_4_mb_is_refused(provider: Provider) -> None:
    text = provider.send("POST", CATALOG, content=b"{}", headers={"Content-Type": "text/plain"})
    large = provider.send("POST", CATALOG, content=b" " * (4 * 1024 * 1024 + 1))
    assert (text.status_code, large.status_code) == (415, 413)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"{CONFIGURATIONS}/x"),
        ("PATCH", CONFIGURATIONS),
        ("DELETE", CATALOG),
        ("POST", f"{CATALOG}/x"),
        ("GET", f"{CATALOG}/x/assign"),
        ("POST", f"{CATALOG}/x/settings"),
        ("POST", "v1.0/groups/delta"),
        ("POST", "v1.0/roleManagement/directory/roleDefinitions"),
        ("PATCH", "v1.0/organization/x"),
        ("POST", "v1.0/deviceManagement/managedDeviceOverview"),
    ],
)
def test_a_method_that_does_not_fit_is_answered_405(
    provider: Provider, method: str, path: str
) -> None:
    assert provider.send(method, path, {}).status_code == 405


def test_who_may_only_read_cannot_write(provider: Provider) -> None:
    provider.graph.tokens.roles = frozenset({"DeviceManagementConfiguration.Read.All"})
    assert provider.send("POST", CATALOG, BODIES[CATALOG]).status_code == 403
    assert provider.ask(CATALOG).status_code == 200


def test_what_is_built_in_or_in_use_is_not_deleted(provider: Provider) -> None:
    tenant = provider.graph.tenants[TENANT]
    role = tenant.collections["roleDefinitions"][0]["id"]
    used = next(
        assignment["target"]["deviceAndAppManagementAssignmentFilterId"]
        for assignments in tenant.assignments.values()
        for assignment in assignments
        if assignment["target"]["deviceAndAppManagementAssignmentFilterId"]
    )
    paths = [f"{TAGS}/0", f"beta/deviceManagement/roleDefinitions/{role}", f"{FILTERS}/{used}"]
    for path in paths:
        assert provider.send("DELETE", path).status_code == 400
        assert provider.ask(path).status_code == 200
