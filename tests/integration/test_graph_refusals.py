"""What the local Graph refuses to write, because Graph does, each by name and without a trace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bodies import (
    ACCESS,
    BODIES,
    CATALOG,
    COMPLIANCE,
    CONFIGURATIONS,
    FILTERS,
    GROUPS,
    NOW,
    TAGS,
    created,
    rule,
    setting,
)
from tests.provider import TENANT, Provider


def refusal(provider: Provider, method: str, path: str, body: Any) -> str:
    answer = provider.send(method, path, content=json.dumps(body).encode())
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"]["message"])


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
        (CONFIGURATIONS, {"settings": []}, "'settings' does not exist"),
        (CONFIGURATIONS, {"scheduledActionsForRule": [rule()]}, "does not exist"),
        (CATALOG, {"scheduledActionsForRule": [rule()]}, "does not exist"),
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
