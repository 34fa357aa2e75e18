"""Writing to the local Graph: what is made, stamped, replaced and counted."""

from __future__ import annotations

import pytest

from tests.bodies import (
    ACCESS,
    BODIES,
    CATALOG,
    COMPLIANCE,
    CONFIGURATIONS,
    GROUPS,
    LATER,
    LINUX,
    NOW,
    created,
    rule,
    setting,
)
from tests.provider import Provider


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
