"""Batches on the local Graph: one answer a request, each refused and throttled by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import TENANT, Provider

BATCH = "beta/$batch"
CATALOG = "/deviceManagement/configurationPolicies"
JSON = {"Content-Type": "application/json"}


def get(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "method": "GET", "url": url, **more}


def batched(provider: Provider, *requests: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = provider.send("POST", BATCH, {"requests": list(requests)})
    assert answer.status_code == 200, answer.text
    return {response["id"]: response for response in answer.json()["responses"]}


def test_twenty_requests_are_answered_in_one_and_in_no_order_to_rely_on(
    provider: Provider,
) -> None:
    policies = provider.graph.tenants[TENANT].collections["configurationPolicies"][:10]
    requests = [
        get(f"{part}-{number}", f"{CATALOG}/{policy['id']}/{part}")
        for number, policy in enumerate(policies)
        for part in ("settings", "assignments")
    ]
    answer = provider.send("POST", BATCH, {"requests": requests}).json()["responses"]
    assert [item["id"] for item in answer] != [request["id"] for request in requests]
    told = {item["id"]: item for item in answer}
    assert {item["status"] for item in answer} == {200}
    for number, policy in enumerate(policies):
        assert len(told[f"settings-{number}"]["body"]["value"]) == min(25, policy["settingCount"])
        assert told[f"settings-{number}"]["headers"]["Content-Type"] == "application/json"


def test_an_inner_link_to_the_next_page_is_absolute_and_leads_on(provider: Provider) -> None:
    body = batched(provider, get("1", f"{CATALOG}?$select=id,name"))["1"]["body"]
    assert body["@odata.nextLink"].startswith(f"{provider.url}/beta{CATALOG}?")
    assert len(provider.all_pages(body["@odata.nextLink"])) == 65


def test_one_refusal_says_nothing_about_the_others(provider: Provider) -> None:
    told = batched(
        provider,
        get("good", CATALOG),
        get("gone", f"{CATALOG}/none"),
        get("odd", f"{CATALOG}?$colour=red"),
        get("nested", "/$batch"),
        get("absolute", f"{provider.url}/beta{CATALOG}"),
        {"id": "bare", "method": "POST", "url": CATALOG, "body": {}},
        {"id": "wrong", "method": "POST", "url": CATALOG, "body": {}, "headers": JSON},
    )
    assert {name: item["status"] for name, item in told.items()} == {
        "good": 200,
        "gone": 404,
        "odd": 400,
        "nested": 400,
        "absolute": 400,
        "bare": 400,
        "wrong": 400,
    }
    assert "Content-Type" in told["bare"]["body"]["error"]["message"]
    assert "required" in told["wrong"]["body"]["error"]["message"]


def test_what_depends_on_a_failure_is_not_tried(provider: Provider) -> None:
    body = {"displayName": "New"}
    create = {"method": "POST", "url": "/deviceManagement/roleScopeTags", "headers": JSON}
    told = batched(
        provider,
        get("1", f"{CATALOG}/none"),
        {**create, "id": "2", "body": body, "dependsOn": ["1"]},
        get("3", CATALOG, dependsOn=["2"]),
        {**create, "id": "4", "body": body},
        get("5", CATALOG, dependsOn=["4"]),
    )
    statuses = {name: item["status"] for name, item in told.items()}
    assert statuses == {"1": 404, "2": 424, "3": 424, "4": 201, "5": 200}
    assert told["2"]["body"]["error"]["code"] == "FailedDependency"
    assert provider.counts()["POST /beta/deviceManagement/roleScopeTags"] == 1


@pytest.mark.parametrize(
    "requests",
    [
        None,
        [],
        {},
        ["x"],
        [get(str(number), CATALOG) for number in range(21)],
        [get("1", CATALOG), get("1", CATALOG)],
        [{"method": "GET", "url": CATALOG}],
        [{"id": 1, "method": "GET", "url": CATALOG}],
        [{"id": "1", "url": CATALOG}],
        [{"id": "1", "method": "GET"}],
        [{"id": "1", "method": ["GET"], "url": CATALOG}],
        [get("1", CATALOG, colour="red")],
        [get("1", CATALOG, dependsOn=["2"])],
        [get("1", CATALOG, dependsOn=["1"])],
        [get("1", CATALOG, dependsOn=["2"]), get("2", CATALOG, dependsOn=["1"])],
        [get("1", CATALOG, dependsOn="2")],
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_as_a_whole(
    provider: Provider, requests: Any
) -> None:
    content = json.dumps({"requests": requests}).encode()
    answer = provider.send("POST", BATCH, content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
    assert provider.counts() == {"POST /token": 1, "POST /beta/$batch": 1}


def test_each_request_of_a_batch_is_throttled_by_itself(provider: Provider) -> None:
    provider.stop_time()
    provider.lab("rules", scale=200, retry_after="decimal")
    told = batched(provider, *(get(str(number), CATALOG) for number in range(8)))
    statuses = [told[str(number)]["status"] for number in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    waits = [told[str(number)]["headers"]["Retry-After"] for number in (5, 6, 7)]
    assert all(float(wait) > 0 for wait in waits)
    assert len(set(waits)) == 3


def test_a_fault_strikes_one_request_of_a_batch(provider: Provider) -> None:
    provider.fault(route=f"/beta{CATALOG}", skip=1, status=424, body={"error": {"code": "x"}})
    provider.fault(route="*/roleScopeTags", drop=True)
    told = batched(
        provider,
        get("1", CATALOG),
        get("2", CATALOG),
        get("3", CATALOG),
        get("4", "/deviceManagement/roleScopeTags"),
    )
    statuses = {name: item["status"] for name, item in told.items()}
    assert statuses == {"1": 200, "2": 424, "3": 200, "4": 504}


def test_an_inner_request_needs_its_role_and_has_a_line_in_the_journal(
    provider: Provider,
) -> None:
    provider.graph.tokens.roles = frozenset({"DeviceManagementConfiguration.Read.All"})
    headers = {"client-request-id": "run-9"}
    requests = [get("1", CATALOG), get("2", "/groups")]
    answer = provider.send("POST", BATCH, {"requests": requests}, headers=headers)
    assert {item["status"] for item in answer.json()["responses"]} == {200, 403}
    outer, *inner = provider.journal()[1:]
    assert (outer["path"], outer["batch"], outer["status"]) == (f"/{BATCH}", None, 200)
    assert [entry["status"] for entry in inner] == [200, 403]
    assert {entry["batch"] for entry in inner} == {2}
    assert {entry["client_request_id"] for entry in inner} == {"run-9"}


def test_a_batch_needs_a_token_and_a_post(provider: Provider) -> None:
    body = {"requests": [get("1", CATALOG)]}
    assert provider.send("POST", BATCH, body, token="nonsense").status_code == 401
    assert provider.ask(BATCH).status_code == 405
