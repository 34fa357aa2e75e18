"""The laboratory of the local Graph: seeds, named drifts, rules and the count of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lastword_jobs.graph_server.drifts import DRIFTS
from lastword_jobs.graph_server.seeding import COUNTS, Size, seed_tenant
from lastword_jobs.graph_server.tenants import Tenant
from tests.bodies import BODIES, CATALOG, CONFIGURATIONS
from tests.provider import TENANT, Provider

POLICIES = ("configurationPolicies", "deviceConfigurations", "deviceCompliancePolicies")


def tenant_of(provider: Provider) -> Tenant:
    return provider.graph.tenants[TENANT]


def picture(tenant: Tenant) -> dict[str, Any]:
    """Everything that may drift, by what it belongs to; stamps and versions left out."""
    stamps = {"lastModifiedDateTime", "version"}
    objects = {
        f"{name}/{entity['id']}": {key: entity[key] for key in entity if key not in stamps}
        for name, entities in tenant.collections.items()
        for entity in entities
    }
    parts = {"settings": tenant.settings, "assignments": tenant.assignments}
    hung = {f"{name}/{id_}": part for name, kind in parts.items() for id_, part in kind.items()}
    copied: dict[str, Any] = json.loads(json.dumps({**objects, **hung}))
    return copied


def differences(provider: Provider, before: dict[str, Any]) -> set[str]:
    after = picture(tenant_of(provider))
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


# Drifts


@pytest.mark.parametrize("collection", POLICIES)
def test_a_changed_setting_changes_that_policy_and_nothing_else(
    provider: Provider, collection: str
) -> None:
    before = picture(tenant_of(provider))
    done = provider.drift("change_setting", collection=collection, nth=1)
    part = "settings" if collection == "configurationPolicies" else collection
    assert differences(provider, before) == {f"{part}/{done['id']}"}
    assert done["setting"]


@pytest.mark.parametrize("nth", range(12))
def test_every_kind_of_setting_can_drift(provider: Provider, nth: int) -> None:
    before = picture(tenant_of(provider))
    done = provider.drift("change_setting", nth=nth)
    assert differences(provider, before) == {f"settings/{done['id']}"}
    settings = tenant_of(provider).settings[done["id"]]
    assert settings[0]["settingInstance"]["settingDefinitionId"] == done["setting"]


def test_a_drifted_policy_is_stamped_and_has_another_version(provider: Provider) -> None:
    provider.stop_time()
    [policy, *_] = tenant_of(provider).collections["deviceConfigurations"]
    version = policy["version"]
    provider.drift("change_setting", collection="deviceConfigurations")
    assert (policy["version"], policy["lastModifiedDateTime"][:10]) == (version + 1, "2026-03-20")


@pytest.mark.parametrize(("name", "more"), [("add_assignment", 1), ("drop_assignment", -1)])
def test_an_assignment_comes_or_goes(provider: Provider, name: str, more: int) -> None:
    before = picture(tenant_of(provider))
    done = provider.drift(name, collection="deviceConfigurations", nth=1)
    key = f"assignments/{done['id']}"
    assert differences(provider, before) == {key}
    assert len(tenant_of(provider).assignments[done["id"]]) == len(before[key]) + more


def test_a_policy_that_loses_its_last_assignment_shows_that(provider: Provider) -> None:
    done = provider.drift("drop_assignment", nth=3)
    assert provider.ask(f"{CATALOG}/{done['id']}").json()["isAssigned"] is False


def test_scope_tags_change_apart_from_everything_else(provider: Provider) -> None:
    before = picture(tenant_of(provider))
    done = provider.drift("change_tags", nth=2)
    [changed] = differences(provider, before)
    assert changed == f"configurationPolicies/{done['id']}"
    assert done["tags"] != before[changed]["roleScopeTagIds"]


def test_an_added_policy_brings_its_settings_and_no_assignments(provider: Provider) -> None:
    [original, *_] = tenant_of(provider).collections["configurationPolicies"]
    done = provider.drift("add_policy")
    assert done["name"] == f"{original['name']} (added)"
    settings = provider.all_pages(f"{CATALOG}/{done['id']}/settings")
    assert settings == tenant_of(provider).settings[original["id"]]
    assert provider.all_pages(f"{CATALOG}/{done['id']}/assignments") == []


def test_two_policies_can_come_to_have_one_name(provider: Provider) -> None:
    done = provider.drift("duplicate_name", collection="deviceConfigurations")
    path = f"{CONFIGURATIONS}?$filter=displayName eq '{done['name']}'"
    assert len(provider.all_pages(path)) == 2


def test_policies_and_groups_are_deleted_and_renamed(provider: Provider) -> None:
    gone = provider.drift("delete_policy", collection="deviceCompliancePolicies", nth=4)["id"]
    assert tenant_of(provider).found("deviceCompliancePolicies", gone) is None
    assert gone not in tenant_of(provider).actions
    renamed = provider.drift("rename", nth=3)
    assert provider.ask(f"{CATALOG}/{renamed['id']}").json()["name"].endswith(" (renamed)")
    group = provider.drift("rename_group", nth=3)
    assert provider.ask(f"v1.0/groups/{group['id']}").json()["displayName"].endswith(" (renamed)")


def test_a_wipe_leaves_no_policy_and_everything_else(provider: Provider) -> None:
    assert provider.drift("wipe")["deleted"] == 150
    left = {name: len(entities) for name, entities in tenant_of(provider).collections.items()}
    assert [left[name] for name in POLICIES] == [0, 0, 0]
    assert left["groups"] == COUNTS[Size.M]["groups"]
    assert tenant_of(provider).settings == tenant_of(provider).assignments == {}


@pytest.mark.parametrize(
    "body",
    [
        {"drift": "wipe"},
        {"tenant": "elsewhere", "drift": "wipe"},
        {"tenant": ["x"], "drift": "wipe"},
        {"tenant": TENANT, "drift": "nothing"},
        {"tenant": TENANT, "drift": "rename", "collection": "unheardOf"},
        {"tenant": TENANT, "drift": "rename", "collection": "compliancePolicies"},
        {"tenant": TENANT, "drift": "rename", "nth": 90},
        {"tenant": TENANT, "drift": "rename", "nth": -1},
        {"tenant": TENANT, "drift": "rename", "id": "none"},
        {"tenant": TENANT, "drift": "drop_assignment", "nth": 5},
        {"tenant": TENANT, "drift": "rename", "colour": "red"},
        [],
    ],
    ids=str,
)
def test_a_drift_that_cannot_happen_is_refused_and_changes_nothing(
    provider: Provider, body: Any
) -> None:
    before = picture(tenant_of(provider))
    answer = provider.http.post(f"{provider.url}/_lab/drift", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert differences(provider, before) == set()


def test_the_same_drifts_of_the_same_seed_give_the_same_tenant(provider: Provider) -> None:
    provider.stop_time()
    pictures = []
    for _ in range(2):
        provider.lab("seed", tenant=TENANT, size="S")
        for name in DRIFTS:
            provider.drift(name)
        pictures.append(picture(tenant_of(provider)))
    assert pictures[0] == pictures[1]


# Seeds


def test_a_tenant_is_seeded_afresh_while_the_server_runs(provider: Provider) -> None:
    provider.drift("wipe")
    done = provider.lab("seed", tenant=TENANT, size="S")
    assert done["collections"]["configurationPolicies"] == 12
    assert len(provider.all_pages(CATALOG)) == 12
    fresh = seed_tenant(TENANT, Size.S)
    assert picture(tenant_of(provider)) == picture(fresh)


def test_the_largest_tenant_has_25000_groups_with_names_and_ids_of_their_own() -> None:
    groups = seed_tenant(TENANT, Size.L).collections["groups"]
    for key in ("id", "displayName", "mailNickname"):
        assert len({group[key] for group in groups}) == 25_000


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tenant": TENANT, "size": "XL"},
        {"size": "S"},
        {"tenant": TENANT},
        {"tenant": "", "size": "S"},
        {"tenant": TENANT, "colour": "red"},
    ],
    ids=str,
)
def test_a_seed_that_makes_no_sense_is_refused_and_the_tenant_stays(
    provider: Provider, body: dict[str, Any]
) -> None:
    answer = provider.http.post(f"{provider.url}/_lab/seed", json=body)
    assert answer.status_code == 400
    assert len(provider.all_pages(CATALOG)) == 90


# Rules and the journal


def test_rules_change_one_by_one_and_are_told(provider: Provider) -> None:
    provider.lab("rules", scale=50)
    rules = provider.lab("rules", retry_after="date")
    assert (rules["scale"], rules["retry_after"]) == (50, "date")
    assert provider.http.get(f"{provider.url}/_lab/rules").json() == rules


@pytest.mark.parametrize(
    "rules",
    [
        {"colour": "red"},
        {"scale": -1},
        {"scale": "10"},
        {"latency_s": True},
        {"penalty_s": None},
        {"retry_after": "soon"},
        {"delta_replay": 1.5},
        {"strict": 1},
    ],
    ids=str,
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(
    provider: Provider, rules: dict[str, Any]
) -> None:
    answer = provider.http.post(f"{provider.url}/_lab/rules", json=rules)
    assert answer.status_code == 400
    [(name, value)] = rules.items()
    assert name in answer.json()["error"] or str(value) in answer.json()["error"]


@pytest.mark.parametrize("name", ["latency_s", "scale", "delta_lifetime_s"])
@pytest.mark.parametrize("number", ["1e999", "Infinity", "NaN"])
def test_a_rule_without_an_end_is_refused(provider: Provider, name: str, number: str) -> None:
    content = f'{{"{name}": {number}}}'
    assert provider.http.post(f"{provider.url}/_lab/rules", content=content).status_code == 400


@pytest.mark.parametrize("content", [b"{", b"\xff", b'"x"', b"7"])
def test_the_laboratory_answers_nonsense_with_400(provider: Provider, content: bytes) -> None:
    for name in ("faults", "rules", "seed", "drift"):
        answer = provider.http.post(f"{provider.url}/_lab/{name}", content=content)
        assert answer.status_code == 400


def test_the_journal_counts_by_route_and_tells_what_became_of_each(provider: Provider) -> None:
    made = provider.send("POST", CATALOG, BODIES[CATALOG]).json()["id"]
    for path in (CATALOG, f"{CATALOG}/{made}", f"{CATALOG}/{made}/settings", f"{CATALOG}/none"):
        provider.ask(path)
    route = "/beta/deviceManagement/configurationPolicies"
    assert provider.counts() == {
        "POST /token": 5,
        f"POST {route}": 1,
        f"GET {route}": 1,
        f"GET {route}/{{id}}": 2,
        f"GET {route}/{{id}}/settings": 1,
    }
    entries = [entry for entry in provider.journal() if not entry["path"].endswith("/token")]
    assert [entry["status"] for entry in entries] == [201, 200, 200, 200, 404]
    assert entries[0]["created"] == made


def test_a_reset_fills_the_limits_again_and_keeps_the_tenant(provider: Provider) -> None:
    provider.stop_time()
    provider.lab("rules", scale=1000)
    provider.send("POST", CATALOG, BODIES[CATALOG])
    assert provider.ask(CATALOG).status_code == 429
    provider.lab("reset")
    assert provider.counts() == {}
    assert len(provider.ask(f"{CATALOG}?$filter=name eq 'New'").json()["value"]) == 1
