"""Assignments on the local Graph: replaced as a whole, and refused when they lead nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import TENANT, Provider

CATALOG = "beta/deviceManagement/configurationPolicies"
CONFIGURATIONS = "v1.0/deviceManagement/deviceConfigurations"

GROUP = "#microsoft.graph.groupAssignmentTarget"
EXCLUDED = "#microsoft.graph.exclusionGroupAssignmentTarget"
ALL_DEVICES = "#microsoft.graph.allDevicesAssignmentTarget"
ALL_USERS = "#microsoft.graph.allLicensedUsersAssignmentTarget"

FILTER_ID = "deviceAndAppManagementAssignmentFilterId"
FILTER_TYPE = "deviceAndAppManagementAssignmentFilterType"


def target(kind: str, **more: Any) -> dict[str, Any]:
    return {"target": {"@odata.type": kind, **more}}


def ids(provider: Provider, collection: str) -> list[str]:
    return [entity["id"] for entity in provider.graph.tenants[TENANT].collections[collection]]


def test_assigning_replaces_everything_and_says_what_there_is_now(provider: Provider) -> None:
    [policy, *_] = ids(provider, "configurationPolicies")
    groups, [chosen, *_] = ids(provider, "groups"), ids(provider, "assignmentFilters")
    given = [
        target(GROUP, groupId=groups[0], **{FILTER_ID: chosen, FILTER_TYPE: "include"}),
        target(EXCLUDED, groupId=groups[1]),
        target(ALL_DEVICES),
    ]
    answer = provider.send("POST", f"{CATALOG}/{policy}/assign", {"assignments": given})
    assert answer.status_code == 200
    kept = provider.all_pages(f"{CATALOG}/{policy}/assignments")
    assert kept == answer.json()["value"]
    assert [item["id"] for item in kept] == [
        f"{policy}_{groups[0]}",
        f"{policy}_{groups[1]}",
        f"{policy}_adadadad-808e-44e2-905a-0b7873a8a531",
    ]
    assert [item["target"][FILTER_TYPE] for item in kept] == ["include", "none", "none"]
    assert [item["target"][FILTER_ID] for item in kept] == [chosen, None, None]


def test_nobody_is_assigned_after_an_empty_list(provider: Provider) -> None:
    [policy, *_] = ids(provider, "configurationPolicies")
    assert provider.ask(f"{CATALOG}/{policy}").json()["isAssigned"] is True
    answer = provider.send("POST", f"{CATALOG}/{policy}/assign", {"assignments": []})
    assert (answer.status_code, answer.json()["value"]) == (200, [])
    assert provider.ask(f"{CATALOG}/{policy}").json()["isAssigned"] is False


def test_an_exported_assignment_is_taken_as_it_is(provider: Provider) -> None:
    [policy, other, *_] = ids(provider, "deviceConfigurations")
    exported = provider.all_pages(f"{CONFIGURATIONS}/{policy}/assignments")
    answer = provider.send("POST", f"{CONFIGURATIONS}/{other}/assign", {"assignments": exported})
    assert answer.status_code == 200
    kept = provider.all_pages(f"{CONFIGURATIONS}/{other}/assignments")
    assert [item["target"] for item in kept] == [item["target"] for item in exported]
    assert {item["sourceId"] for item in kept} == {other}


def test_more_than_25_assignments_come_in_pages(provider: Provider) -> None:
    [policy, *_] = ids(provider, "deviceConfigurations")
    given = [target(GROUP, groupId=group) for group in ids(provider, "groups")[:60]]
    provider.send("POST", f"{CONFIGURATIONS}/{policy}/assign", {"assignments": given})
    path = f"{CONFIGURATIONS}/{policy}/assignments"
    assert len(provider.ask(path).json()["value"]) == 25
    assert len(provider.all_pages(path)) == 60


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "assignments"),
        ({"assignments": None}, "assignments"),
        ({"assignments": [], "x": 1}, "assignments"),
        ({"deviceConfigurationAssignments": []}, "assignments"),
        ({"assignments": ["x"]}, "target"),
        ({"assignments": [{}]}, "target"),
        ({"assignments": [target("#microsoft.graph.user")]}, "target type"),
        ({"assignments": [target(GROUP)]}, "No group"),
        ({"assignments": [target(GROUP, groupId="none")]}, "No group 'none'"),
        ({"assignments": [target(EXCLUDED, groupId=["x"])]}, "No group"),
        ({"assignments": [target(ALL_USERS, groupId="x")]}, "has no group"),
        ({"assignments": [target(ALL_USERS), target(ALL_USERS)]}, "twice"),
        ({"assignments": [target(ALL_USERS, **{FILTER_TYPE: "include"})]}, "needs a filter"),
        (
            {"assignments": [target(ALL_USERS, **{FILTER_ID: "x", FILTER_TYPE: "include"})]},
            "No assignment filter 'x'",
        ),
        ({"assignments": [target(ALL_USERS, **{FILTER_TYPE: "maybe"})]}, "filter type"),
    ],
    ids=str,
)
def test_assignments_that_lead_nowhere_are_refused_and_the_old_ones_stay(
    provider: Provider, body: dict[str, Any], words: str
) -> None:
    [policy, *_] = ids(provider, "configurationPolicies")
    before = provider.all_pages(f"{CATALOG}/{policy}/assignments")
    content = json.dumps(body).encode()
    answer = provider.send("POST", f"{CATALOG}/{policy}/assign", content=content)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert provider.all_pages(f"{CATALOG}/{policy}/assignments") == before != []


def test_a_deleted_group_stays_in_old_assignments_and_is_refused_in_new_ones(
    provider: Provider,
) -> None:
    [policy, *_] = ids(provider, "deviceConfigurations")
    [assignment, *_] = provider.all_pages(f"{CONFIGURATIONS}/{policy}/assignments")
    group = assignment["target"]["groupId"]
    provider.drift("delete_group", id=group)
    [still, *_] = provider.all_pages(f"{CONFIGURATIONS}/{policy}/assignments")
    assert still["target"]["groupId"] == group
    body = {"assignments": [still]}
    assert provider.send("POST", f"{CONFIGURATIONS}/{policy}/assign", body).status_code == 400


def test_a_policy_that_is_not_there_cannot_be_assigned(provider: Provider) -> None:
    answer = provider.send("POST", f"{CATALOG}/none/assign", {"assignments": []})
    assert answer.status_code == 404
