"""Exporting a tenant of the local Graph, wiping it and writing it back: nothing is lost but ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lastword_jobs.graph_server.resources import READ_ONLY
from tests.bodies import BODIES, CATALOG, COMPLIANCE, CONFIGURATIONS
from tests.provider import TENANT, Provider

CUSTOM = "#microsoft.graph.windows10CustomConfiguration"
RULES = "scheduledActionsForRule"

Json = dict[str, Any]


def exported(provider: Provider, path: str) -> list[Json]:
    """Every policy with everything that hangs on it, without what the service gives it."""
    expand = f"?$expand={RULES}($expand=scheduledActionConfigurations)"
    policies = provider.all_pages(path + (expand if path == COMPLIANCE else ""))
    for policy in policies:
        one = f"{path}/{policy['id']}"
        if path == CATALOG:
            policy["settings"] = provider.all_pages(f"{one}/settings")
        policy["assignments"] = provider.all_pages(f"{one}/assignments")
    return [json.loads(json.dumps(_portable(policy))) for policy in policies]


def _portable(policy: Json) -> Json:
    kept = {key: value for key, value in policy.items() if key not in READ_ONLY}
    kept["assignments"] = [{"target": item["target"]} for item in kept["assignments"]]
    for rule in kept.get(RULES, ()):
        del rule["id"]
        for action in rule["scheduledActionConfigurations"]:
            del action["id"]
    for setting in kept.get("omaSettings", ()):
        del setting["secretReferenceValueId"]
    return kept


def restored(provider: Provider, path: str, policy: Json) -> None:
    body = {key: value for key, value in policy.items() if key != "assignments"}
    answer = provider.send("POST", path, body)
    assert answer.status_code == 201, answer.text
    assignments = {"assignments": policy["assignments"]}
    answer = provider.send("POST", f"{path}/{answer.json()['id']}/assign", assignments)
    assert answer.status_code == 200, answer.text


def test_a_tenant_that_is_wiped_and_written_back_is_the_same(provider: Provider) -> None:
    provider.lab("rules", scale=0)
    before = {path: exported(provider, path) for path in (CATALOG, CONFIGURATIONS, COMPLIANCE)}
    assert [len(policies) for policies in before.values()] == [90, 35, 25]
    provider.drift("wipe")
    for path, policies in before.items():
        for policy in policies:
            restored(provider, path, policy)
    assert {path: exported(provider, path) for path in before} == before


# Encrypted settings


def oma(value: Any, kind: str = "omaSettingString", **more: Any) -> Json:
    named = {"displayName": "Key", "omaUri": "./Device/Key"}
    return {"@odata.type": f"#microsoft.graph.{kind}", **named, "value": value, **more}


def plain_texts(provider: Provider, policy_id: str) -> list[str]:
    policy = provider.ask(f"{CONFIGURATIONS}/{policy_id}").json()
    assert [item["value"] for item in policy["omaSettings"]] == ["****"]
    function = f"{CONFIGURATIONS}/{policy_id}/getOmaSettingPlainTextValue"
    references = [item["secretReferenceValueId"] for item in policy["omaSettings"]]
    return [
        provider.ask(f"{function}(secretReferenceValueId='{reference}')").json()["value"]
        for reference in references
    ]


def custom(provider: Provider, *items: Json) -> Json:
    body = {"@odata.type": CUSTOM, "displayName": "New", "omaSettings": list(items)}
    answer = provider.send("POST", CONFIGURATIONS, body)
    assert answer.status_code == 201, answer.text
    policy: Json = answer.json()
    return policy


def test_a_text_is_hidden_when_it_is_written_and_a_number_is_not(provider: Provider) -> None:
    policy = custom(provider, oma("plain"))
    assert plain_texts(provider, policy["id"]) == ["plain"]
    [number] = custom(provider, oma(7, "omaSettingInteger"))["omaSettings"]
    assert (number["value"], number["isEncrypted"]) == (7, False)


def test_stars_stand_for_the_text_only_with_the_policys_own_reference(provider: Provider) -> None:
    policy = custom(provider, oma("plain"))
    one = f"{CONFIGURATIONS}/{policy['id']}"
    change = {"@odata.type": CUSTOM, "omaSettings": provider.ask(one).json()["omaSettings"]}
    assert provider.send("PATCH", one, change).status_code == 200
    assert plain_texts(provider, policy["id"]) == ["plain"]
    copied = custom(provider, *change["omaSettings"])
    assert plain_texts(provider, copied["id"]) == ["****"]


@pytest.mark.parametrize(
    "items",
    [
        {},
        ["x"],
        [oma("x", "omaSettingUnheardOf")],
        [oma("x", displayName="")],
        [oma("x", omaUri=None)],
        [{key: value for key, value in oma("x").items() if key != "value"}],
    ],
)
def test_an_unsound_oma_setting_is_refused(provider: Provider, items: Any) -> None:
    body = {"@odata.type": CUSTOM, "displayName": "New", "omaSettings": items}
    answer = provider.send("POST", CONFIGURATIONS, body)
    assert answer.status_code == 400
    assert "omaSettings" in answer.json()["error"]["message"]


# Nonsense

NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_nonsense_in_a_body_makes_the_server_fail(
    provider_server: Provider, data: st.DataObject
) -> None:
    provider = provider_server
    provider.start_afresh()
    provider.lab("rules", scale=0)
    path = data.draw(st.sampled_from(sorted(BODIES)))
    version, _, below = path.partition("/")
    collection = below.rpartition("/")[2]
    name = "conditionalAccessPolicies" if collection == "policies" else collection
    entities = provider.graph.tenants[TENANT].collections[name]
    entity_id = entities[-1]["id"] if entities else "none"
    keys = [*BODIES[path], "assignments", "omaSettings", RULES, "roleScopeTagIds", "@odata.type"]
    body = {**BODIES[path], data.draw(st.sampled_from(keys)): data.draw(NONSENSE)}
    token = provider.ask_token().json()["access_token"]
    for method, route, sent in (
        ("POST", path, body),
        ("PATCH", f"{path}/{entity_id}", body),
        ("PUT", f"{path}/{entity_id}", body),
        ("POST", f"{path}/{entity_id}/assign", {"assignments": data.draw(NONSENSE)}),
        ("POST", f"{version}/$batch", {"requests": [data.draw(NONSENSE)]}),
        ("GET", path, None),
    ):
        content = None if sent is None else json.dumps(sent).encode()
        answer = provider.send(method, route, token=token, content=content)
        assert answer.status_code < 500, (method, route, sent)
