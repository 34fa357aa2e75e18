"""The local Graph as a reader sees it: options, parts, pages that move, and single documents."""

from __future__ import annotations

from typing import Any

import pytest

from lastword_jobs.graph_server.parts import SETTING_COUNTS
from lastword_jobs.graph_server.seeding import COUNTS, Size
from tests.provider import TENANT, Provider

CATALOG = "beta/deviceManagement/configurationPolicies"
CONFIGURATIONS = "v1.0/deviceManagement/deviceConfigurations"
COMPLIANCE = "v1.0/deviceManagement/deviceCompliancePolicies"
ROLES = "v1.0/roleManagement/directory/roleDefinitions"
CONDITIONAL_ACCESS = "v1.0/identity/conditionalAccess/policies"
SECOND = "?$top=1&$skiptoken="


def first(provider: Provider, collection: str, place: int = 0) -> dict[str, Any]:
    return provider.graph.tenants[TENANT].collections[collection][place]


# Options


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"{CATALOG}?$filter=name eq 'WIN - Defender AV 002'", 1),
        (f"{CATALOG}?$filter=name eq 'win - defender av 002'", 1),
        (f"{CATALOG}?$filter=name eq 'WIN - Defender AV'", 0),
        (f"{CONFIGURATIONS}?$filter=startswith(displayName, 'IOS - ')", 8),
        (f"{CONFIGURATIONS}?$filter=startswith(displayName,'IOS''s')", 0),
        (f"{CONFIGURATIONS}?$filter=id eq 'none'", 0),
        ("v1.0/groups?$filter=displayName eq 'All Company 004'", 1),
    ],
)
def test_a_filter_leaves_what_fits_whether_large_or_small(
    provider: Provider, path: str, found: int
) -> None:
    assert len(provider.all_pages(path)) == found


@pytest.mark.parametrize(
    "path",
    [
        f"{CONFIGURATIONS}?$select=colour",
        f"{CONFIGURATIONS}?$select=",
        f"{CONFIGURATIONS}?$expand=settings",
        f"{CONFIGURATIONS}?$expand=scheduledActionsForRule",
        f"{CATALOG}?$expand=scheduledActionsForRule",
        f"{CONFIGURATIONS}?$filter=displayName eq x",
        f"{CONFIGURATIONS}?$filter=displayName ne 'x'",
        f"{CONFIGURATIONS}?$filter=displayName eq 'it's'",
        f"{CONFIGURATIONS}?$filter=startswith(id,'1')",
        f"{CONFIGURATIONS}?$filter=name eq 'x'",
        f"{CONFIGURATIONS}?$search=x",
        f"{CONFIGURATIONS}?$skip=5",
        f"{CONFIGURATIONS}?$top=5&$top=6",
        f"{CONFIGURATIONS}/x?$top=5",
        f"{CATALOG}/x/settings?$select=id",
        f"{CATALOG}/x/settings?$expand=settingDefinitions",
        f"{CONFIGURATIONS}/x/settings",
        f"{CONFIGURATIONS}/x/y/z",
        "v1.0/groups?$top=1000",
        "v1.0/groups?$orderby=displayName",
        "v1.0/deviceManagement",
        "v1.0/deviceManagement/compliancePolicies",
        "v1.0/deviceManagement/managedDeviceOverview?$select=id",
    ],
)
def test_an_option_or_a_path_that_graph_does_not_know_is_answered_400(
    provider: Provider, path: str
) -> None:
    answer = provider.ask(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_a_count_is_of_the_page_in_the_settings_catalog_and_of_everything_elsewhere(
    provider: Provider,
) -> None:
    assert provider.ask(f"{CATALOG}?$count=true").json()["@odata.count"] == 25
    assert provider.ask(f"{CONFIGURATIONS}?$count=true&$top=5").json()["@odata.count"] == 35


def test_the_directory_counts_only_with_the_header_and_wants_it_on_every_page(
    provider: Provider,
) -> None:
    answer = provider.ask("v1.0/groups?$count=true")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "Request_UnsupportedQuery")
    headers = {"ConsistencyLevel": "eventual"}
    page = provider.send("GET", "v1.0/groups?$count=true", headers=headers).json()
    assert page["@odata.count"] == COUNTS[Size.M]["groups"]
    assert provider.ask(page["@odata.nextLink"]).status_code == 400
    assert provider.send("GET", page["@odata.nextLink"], headers=headers).status_code == 200


def test_groups_come_by_the_hundred_and_at_most_by_999(provider: Provider) -> None:
    sizes = {
        options: len(provider.ask(f"v1.0/groups{options}").json()["value"])
        for options in ("", "?$top=999", "?$top=1")
    }
    assert sizes == {"": 100, "?$top=999": 999, "?$top=1": 1}
    assert len({group["id"] for group in provider.all_pages("v1.0/groups?$top=999")}) == 2000


def test_expanding_brings_the_parts_along_and_nothing_else_does(provider: Provider) -> None:
    policy = first(provider, "configurationPolicies")
    tenant = provider.graph.tenants[TENANT]
    bare = provider.ask(f"{CATALOG}/{policy['id']}").json()
    assert not {"settings", "assignments"} & set(bare)
    full = provider.ask(f"{CATALOG}/{policy['id']}?$expand=settings,assignments").json()
    assert full["settings"] == tenant.settings[policy["id"]]
    assert full["assignments"] == tenant.assignments[policy["id"]]
    assert (full["settingCount"], full["isAssigned"]) == (len(full["settings"]), True)


def test_scheduled_actions_show_their_configurations_only_when_these_are_expanded_too(
    provider: Provider,
) -> None:
    bare = provider.ask(COMPLIANCE).json()["value"][0]
    rules = provider.ask(f"{COMPLIANCE}?$expand=scheduledActionsForRule").json()["value"][0]
    nested = "scheduledActionsForRule($expand=scheduledActionConfigurations)"
    full = provider.ask(f"{COMPLIANCE}?$expand={nested},assignments").json()["value"][0]
    assert "scheduledActionsForRule" not in bare
    assert "scheduledActionConfigurations" not in rules["scheduledActionsForRule"][0]
    [rule] = full["scheduledActionsForRule"]
    assert "block" in {action["actionType"] for action in rule["scheduledActionConfigurations"]}
    assert "assignments" in full
    own = provider.ask(f"{COMPLIANCE}/{full['id']}/scheduledActionsForRule").json()["value"]
    assert own == rules["scheduledActionsForRule"]


# Pages


def test_the_settings_of_a_policy_page_at_25_and_count_only_the_page(provider: Provider) -> None:
    place = SETTING_COUNTS.index(118)
    policy = first(provider, "configurationPolicies", place)
    assert policy["settingCount"] == 118
    path = f"{CATALOG}/{policy['id']}/settings?$top=1000"
    page = provider.ask(path).json()
    assert (len(page["value"]), page["@odata.count"]) == (25, 25)
    settings = provider.all_pages(path)
    definitions = {setting["settingInstance"]["settingDefinitionId"] for setting in settings}
    assert len(settings) == len(definitions) == 118
    assert [setting["id"] for setting in settings] == [str(number) for number in range(118)]


@pytest.mark.parametrize("gone", [0, 4, 7])
def test_an_object_that_goes_between_two_pages_takes_no_other_with_it(
    provider: Provider, gone: int
) -> None:
    policies = provider.graph.tenants[TENANT].collections["deviceConfigurations"]
    names = [policy["id"] for policy in policies]
    page = provider.ask(f"{CONFIGURATIONS}?$top=5").json()
    provider.drift("delete_policy", collection="deviceConfigurations", nth=gone)
    rest = provider.all_pages(page["@odata.nextLink"])
    seen = [policy["id"] for policy in page["value"] + rest]
    assert [name for name in names if name not in seen] == ([names[gone]] if gone > 4 else [])


# What else there is


@pytest.mark.parametrize(
    ("path", "count"),
    [
        (ROLES, 60),
        ("beta/deviceManagement/roleDefinitions", 8),
        ("v1.0/deviceManagement/notificationMessageTemplates", 3),
        (CONDITIONAL_ACCESS, 12),
        ("v1.0/organization", 1),
        ("v1.0/subscribedSkus", 1),
        ("v1.0/security/secureScores", 1),
        ("v1.0/deviceManagement/auditEvents", 1),
        ("beta/deviceManagement/compliancePolicies", 0),
    ],
)
def test_the_rest_of_the_tenant_is_listed(provider: Provider, path: str, count: int) -> None:
    assert len(provider.all_pages(path)) == count


def test_summaries_are_single_documents(provider: Provider) -> None:
    states = provider.ask("v1.0/deviceManagement/deviceCompliancePolicyDeviceStateSummary").json()
    devices = provider.ask("v1.0/deviceManagement/managedDeviceOverview").json()
    assert (states["compliantDeviceCount"], devices["enrolledDeviceCount"]) == (150, 170)


def test_an_encrypted_value_is_read_as_stars_and_told_only_by_its_reference(
    provider: Provider,
) -> None:
    policy = first(provider, "deviceConfigurations", 1)
    shown = provider.ask(f"{CONFIGURATIONS}/{policy['id']}").json()
    [secret] = [setting for setting in shown["omaSettings"] if setting["isEncrypted"]]
    assert secret["value"] == "****"
    function = f"{CONFIGURATIONS}/{policy['id']}/getOmaSettingPlainTextValue"
    reference = secret["secretReferenceValueId"]
    plain = provider.ask(f"{function}(secretReferenceValueId='{reference}')")
    assert plain.json()["value"].startswith("<enabled/>")
    assert provider.ask(f"{function}(secretReferenceValueId='other')").status_code == 404


def test_every_assignment_and_tag_and_notification_leads_to_something_that_is_there(
    provider: Provider,
) -> None:
    tenant = provider.graph.tenants[TENANT]
    known = {
        name: {entity["id"] for entity in entities} for name, entities in tenant.collections.items()
    }
    for assignments in tenant.assignments.values():
        for target in (assignment["target"] for assignment in assignments):
            assert target.get("groupId") in known["groups"] | {None}
            filter_id = target["deviceAndAppManagementAssignmentFilterId"]
            assert filter_id in known["assignmentFilters"] | {None}
    for policy in tenant.collections["configurationPolicies"]:
        assert set(policy["roleScopeTagIds"]) <= known["roleScopeTags"]
    for [rule] in tenant.actions.values():
        templates = {
            action["notificationTemplateId"] for action in rule["scheduledActionConfigurations"]
        }
        nothing = "00000000-0000-0000-0000-000000000000"
        assert templates <= known["notificationMessageTemplates"] | {nothing}


@pytest.mark.parametrize(
    ("path", "role", "code"),
    [
        ("v1.0/groups", "Group.Read.All", "Authorization_RequestDenied"),
        (ROLES, "RoleManagement.Read.Directory", "Authorization_RequestDenied"),
        (CONDITIONAL_ACCESS, "Policy.Read.All", "Authorization_RequestDenied"),
        ("v1.0/deviceManagement/managedDeviceOverview", "", "Forbidden"),
    ],
)
def test_each_service_refuses_an_application_without_the_role_in_its_own_words(
    provider: Provider, path: str, role: str, code: str
) -> None:
    provider.lab("rules", scale=0)
    provider.graph.tokens.roles = frozenset({role})
    assert provider.ask(path).status_code == (200 if role else 403)
    provider.graph.tokens.roles = frozenset()
    answer = provider.ask(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)


def test_every_answer_has_an_id_and_gives_the_clients_own_back(provider: Provider) -> None:
    headers = {"client-request-id": "run-7", "x-ms-throttle-priority": "low"}
    answers = [
        provider.send("GET", path, headers=headers) for path in (CONFIGURATIONS, f"{CATALOG}/none")
    ]
    assert {answer.headers["client-request-id"] for answer in answers} == {"run-7"}
    assert {entry.get("priority") for entry in provider.journal("ions")} == {"low"}
    assert len({answer.headers["request-id"] for answer in answers}) == 2
    inner = answers[1].json()["error"]["innerError"]
    assert inner["request-id"] == answers[1].headers["request-id"]
    assert inner["client-request-id"] == "run-7"
