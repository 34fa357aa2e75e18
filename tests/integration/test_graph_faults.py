"""Faults on the local Graph: before or after a request is carried out, in words or in silence."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from tests.bodies import BODIES, CATALOG, CONFIGURATIONS
from tests.provider import FOR_EVER, TENANT, Provider


def named(provider: Provider) -> int:
    """How many policies have the name of a new one."""
    return len(provider.all_pages(f"{CATALOG}?$filter=name eq 'New'"))


# A write of which nobody knows whether it was done


@pytest.mark.parametrize(("after", "made"), [(False, 0), (True, 1)])
def test_a_dropped_write_was_carried_out_or_not_as_the_fault_says(
    provider: Provider, after: bool, made: int
) -> None:
    provider.fault(method="POST", route="*/configurationPolicies", drop=True, after=after)
    with pytest.raises(httpx.RemoteProtocolError):
        provider.send("POST", CATALOG, BODIES[CATALOG])
    assert named(provider) == made


@pytest.mark.parametrize(("after", "made"), [(False, 0), (True, 1)])
def test_a_gateway_that_gives_up_answers_in_html_whatever_was_done_behind_it(
    provider: Provider, after: bool, made: int
) -> None:
    provider.fault(method="POST", route="*/configurationPolicies", like="504_html", after=after)
    answer = provider.send("POST", CATALOG, BODIES[CATALOG])
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html")
    assert "Gateway Timeout" in answer.text
    assert named(provider) == made


def test_a_blind_repetition_makes_a_second_policy(provider: Provider) -> None:
    provider.fault(method="POST", route="*/configurationPolicies", like="504_html", after=True)
    codes = [provider.send("POST", CATALOG, BODIES[CATALOG]).status_code for _ in range(2)]
    assert codes == [504, 201]
    assert named(provider) == 2
    assert provider.counts()["POST /beta/deviceManagement/configurationPolicies"] == 2


def test_a_write_that_is_refused_stays_undone_though_the_fault_strikes_after(
    provider: Provider,
) -> None:
    provider.fault(method="POST", route="*/configurationPolicies", status=502, after=True)
    assert provider.send("POST", CATALOG, {}).status_code == 502
    assert named(provider) == 0


# Answers that are none


def test_a_truncated_answer_is_half_a_document(provider: Provider) -> None:
    whole = provider.ask(CONFIGURATIONS).text
    provider.fault(route="*/deviceConfigurations", truncate=True)
    answer = provider.ask(CONFIGURATIONS)
    assert answer.status_code == 200
    assert answer.text == whole[: len(whole) // 2]
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert provider.ask(CONFIGURATIONS).text == whole


@pytest.mark.parametrize(
    ("like", "status", "code"),
    [
        ("401_expired", 401, "InvalidAuthenticationToken"),
        ("403_missing_consent", 403, "Authorization_RequestDenied"),
        ("403_intune_forbidden", 403, "Forbidden"),
        ("409", 409, "Conflict"),
        ("410_resync", 410, "syncStateNotFound"),
        ("429_decimal", 429, "TooManyRequests"),
        ("503", 503, "ServiceUnavailable"),
    ],
)
def test_a_fault_may_be_like_one_that_is_known(
    provider: Provider, like: str, status: int, code: str
) -> None:
    provider.fault(route="*/deviceConfigurations", like=like)
    answer = provider.ask(CONFIGURATIONS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == {"429_decimal": "2.128", "503": "5"}.get(like)


def test_what_a_fault_is_like_may_be_changed_in_part(provider: Provider) -> None:
    provider.fault(route="*/deviceConfigurations", like="503", headers={"Retry-After": "1.5"})
    answer = provider.ask(CONFIGURATIONS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1.5")


# What happens meanwhile


def test_a_token_expires_in_mid_run_and_a_fresh_one_goes_on(provider: Provider) -> None:
    token = provider.ask_token().json()["access_token"]
    provider.fault(route="*/deviceConfigurations", skip=1, expire_tokens=True)
    codes = [provider.ask(CONFIGURATIONS, token).status_code for _ in range(3)]
    assert codes == [200, 401, 401]
    assert provider.ask(CONFIGURATIONS).status_code == 200


def test_an_object_goes_between_the_listing_and_the_reading(provider: Provider) -> None:
    [first, second, *_] = provider.all_pages(CONFIGURATIONS)
    provider.fault(route=f"*/deviceConfigurations/{first['id']}", method="GET", gone=True)
    assert provider.ask(f"{CONFIGURATIONS}/{first['id']}").status_code == 404
    assert provider.ask(f"{CONFIGURATIONS}/{second['id']}").status_code == 200
    assert first["id"] not in {policy["id"] for policy in provider.all_pages(CONFIGURATIONS)}
    assert first["id"] not in provider.graph.tenants[TENANT].assignments


def test_one_type_is_forbidden_for_good_and_the_others_are_not(provider: Provider) -> None:
    provider.fault(route="*/deviceConfigurations*", like="403_intune_forbidden", times=FOR_EVER)
    [policy, *_] = provider.graph.tenants[TENANT].collections["deviceConfigurations"]
    paths = [CONFIGURATIONS, f"{CONFIGURATIONS}/{policy['id']}", CATALOG]
    assert [provider.ask(path).status_code for path in paths] == [403, 403, 200]


def test_a_tenant_may_go_in_mid_run(provider: Provider) -> None:
    token = provider.ask_token().json()["access_token"]
    provider.lab("seed", tenant=TENANT, size=None)
    assert provider.ask(CONFIGURATIONS, token).status_code == 401
    refused = provider.ask_token()
    assert (refused.status_code, refused.json()["error_codes"]) == (400, [90002])


def test_a_wait_may_be_any_in_a_range(provider: Provider) -> None:
    provider.fault(route="*/deviceConfigurations", latency_s=0.05, latency_to_s=0.1)
    token = provider.ask_token().json()["access_token"]
    began = time.monotonic()
    assert provider.ask(CONFIGURATIONS, token).status_code == 200
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize(
    "rule",
    [
        {"status": "500"},
        {"status": True},
        {"times": -1},
        {"drop": "before"},
        {"headers": []},
        {"latency_s": -1},
        {"latency_s": None},
        {"like": "nothing"},
        {"route": None},
    ],
    ids=str,
)
def test_a_fault_with_a_wrong_value_is_refused_by_name(
    provider: Provider, rule: dict[str, Any]
) -> None:
    answer = provider.http.post(f"{provider.url}/_lab/faults", json=rule)
    assert answer.status_code == 400
    assert next(iter(rule)) in answer.json()["error"]


# The token endpoint


@pytest.mark.parametrize(
    ("changes", "error", "number"),
    [
        ({"grant_type": ""}, "invalid_request", 900144),
        ({"client_id": ""}, "invalid_request", 900144),
        ({"scope": ""}, "invalid_request", 900144),
        ({"client_secret": ""}, "invalid_client", 7000218),
    ],
)
def test_a_token_request_with_something_missing_is_refused(
    provider: Provider, changes: dict[str, str], error: str, number: int
) -> None:
    answer = provider.ask_token(**changes)
    assert answer.status_code == 400
    assert (answer.json()["error"], answer.json()["error_codes"]) == (error, [number])


def test_an_expired_secret_is_told_from_a_wrong_one(provider: Provider) -> None:
    provider.graph.tokens.expired_secrets.add("app-1")
    answer = provider.ask_token().json()
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [7000222])
    assert provider.ask_token(client_secret="wrong").json()["error_codes"] == [7000215]
