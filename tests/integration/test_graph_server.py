"""The local Graph as any client sees it: tokens, strict listings, pages and the laboratory."""

from __future__ import annotations

import base64
import time
from typing import Any

import httpx
import pytest

from lastword_jobs.graph_server.seeding import COUNTS, Size, seed_tenant
from tests.provider import RUN_ID, SECRET, TENANT, Provider

POLICIES = "beta/deviceManagement/configurationPolicies"
CONFIGURATIONS = "v1.0/deviceManagement/deviceConfigurations"


def listed(provider: Provider, path: str) -> list[dict[str, Any]]:
    """Every page of a listing, each as it came."""
    token = provider.ask_token().json()["access_token"]
    pages: list[dict[str, Any]] = []
    link: str | None = path
    while link is not None:
        answer = provider.ask(link, token)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        link = pages[-1].get("@odata.nextLink")
    return pages


def opaque(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


# Tokens


def test_the_right_credentials_get_a_token_that_opens_the_listings(provider: Provider) -> None:
    answer = provider.ask_token()
    assert answer.status_code == 200
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)
    assert provider.ask(CONFIGURATIONS, body["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type", "AADSTS70003"),
        ({"scope": "https://graph.microsoft.com/User.Read"}, "invalid_scope", "AADSTS1002012"),
        ({"client_id": "stranger"}, "unauthorized_client", "AADSTS700016"),
        ({"client_secret": "wrong"}, "invalid_client", "AADSTS7000215"),
        ({"client_secret": "wröng"}, "invalid_client", "AADSTS7000215"),
        ({"tenant": "elsewhere"}, "invalid_request", "AADSTS90002"),
    ],
)
def test_a_wrong_token_request_is_refused_in_the_protocols_words(
    provider: Provider, changes: dict[str, str], error: str, code: str
) -> None:
    answer = provider.ask_token(**changes)
    assert answer.status_code == 400
    body = answer.json()
    assert body["error"] == error
    assert body["error_description"].startswith(code)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer nonsense", "Basic dTpw"])
def test_a_request_without_a_good_token_is_answered_401(
    provider: Provider, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = provider.http.get(f"{provider.url}/{POLICIES}", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"


def test_an_expired_token_is_answered_401(provider: Provider) -> None:
    provider.graph.tokens.lifetime_s = 0.0
    assert provider.ask(POLICIES).status_code == 401


def test_a_token_without_the_role_of_a_collection_is_answered_403(provider: Provider) -> None:
    provider.graph.tokens.roles = frozenset({"DeviceManagementConfiguration.Read.All"})
    answer = provider.ask("beta/deviceManagement/roleScopeTags")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Forbidden")
    assert provider.ask(POLICIES).status_code == 200


# Strictness


@pytest.mark.parametrize(
    "path",
    [
        f"{POLICIES}?$filter=description eq 'x'",
        f"{POLICIES}?$count=perhaps",
        f"{POLICIES}?$orderby=name",
        f"{POLICIES}?top=5",
        f"{POLICIES}?$top=0",
        f"{POLICIES}?$top=-1",
        f"{POLICIES}?$top=ten",
        f"{POLICIES}?$top=%C2%B2",
        f"{POLICIES}?$skiptoken=nonsense",
        f"{POLICIES}?$skiptoken=",
        f"{POLICIES}?$skiptoken=%C3%A4",
        f"{POLICIES}?$skiptoken={opaque('-5')}",
        "v1.0/deviceManagement/configurationPolicies",
        "v1.0/deviceManagement/assignmentFilters",
        "v1.0/deviceManagement/roleScopeTags",
        "v2.0/deviceManagement/deviceConfigurations",
        "v1.0/deviceManagement/unheardOf",
    ],
)
def test_what_graph_would_refuse_is_answered_400(provider: Provider, path: str) -> None:
    answer = provider.ask(path)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "BadRequest"


def test_select_leaves_only_what_was_asked_for_and_the_id(provider: Provider) -> None:
    [page] = listed(provider, f"{CONFIGURATIONS}?$select=displayName")
    assert all({"id", "displayName"} <= set(entity) for entity in page["value"])
    assert all("version" not in entity for entity in page["value"])


def test_one_object_is_found_by_its_id_and_an_unknown_id_is_answered_404(
    provider: Provider,
) -> None:
    first = provider.graph.tenants[TENANT].collections["deviceConfigurations"][0]
    found = provider.ask(f"{CONFIGURATIONS}/{first['id']}").json()
    assert found.pop("@odata.context").endswith("#deviceManagement/deviceConfigurations/$entity")
    assert found == first
    assert provider.ask(f"{CONFIGURATIONS}/none").status_code == 404


# Pages


@pytest.mark.parametrize("options", ["", "?$top=999"])
def test_the_settings_catalog_pages_at_25_whatever_is_asked_and_counts_only_the_page(
    provider: Provider, options: str
) -> None:
    pages = listed(provider, POLICIES + options)
    sizes = [len(page["value"]) for page in pages]
    assert sizes == [25, 25, 25, 15]
    assert [page["@odata.count"] for page in pages] == sizes
    links = [page["@odata.nextLink"] for page in pages[:-1]]
    assert all(link.startswith(f"{provider.url}/{POLICIES}?") for link in links)


def test_a_smaller_page_is_given_and_the_link_keeps_the_options(provider: Provider) -> None:
    pages = listed(provider, f"{CONFIGURATIONS}?$top=10&$select=id,displayName")
    assert [len(page["value"]) for page in pages] == [10, 10, 10, 5]
    assert all("version" not in entity for page in pages for entity in page["value"])
    assert all("@odata.count" not in page for page in pages)


# Seeds


@pytest.mark.parametrize(("size", "policies"), [(Size.S, 20), (Size.M, 150), (Size.L, 600)])
def test_a_size_has_its_number_of_policies_each_with_an_id_of_its_own(
    size: Size, policies: int
) -> None:
    collections = seed_tenant(TENANT, size).collections
    assert {name: len(collections[name]) for name in COUNTS[size]} == COUNTS[size]
    ids = {kind: {entity["id"] for entity in collections[kind]} for kind in COUNTS[size]}
    assert {kind: len(unique) for kind, unique in ids.items()} == COUNTS[size]
    kinds = ("configurationPolicies", "deviceConfigurations", "deviceCompliancePolicies")
    assert len(set().union(*(ids[kind] for kind in kinds))) == policies


def test_the_same_seed_gives_the_same_objects_and_another_tenant_others() -> None:
    first, again = seed_tenant(TENANT, Size.M), seed_tenant(TENANT, Size.M)
    assert first == again
    other = seed_tenant("fabrikam", Size.M)
    ids = {
        tenant.tenant_id: {entity["id"] for entity in tenant.collections["configurationPolicies"]}
        for tenant in (first, other)
    }
    assert not ids[TENANT] & ids["fabrikam"]


# Laboratory


def test_a_fault_lets_some_through_then_hits_some_and_then_is_over(provider: Provider) -> None:
    provider.fault(
        route="*/deviceConfigurations",
        skip=1,
        times=2,
        status=503,
        headers={"Retry-After": "7"},
        body="<html>",
    )
    token = provider.ask_token().json()["access_token"]
    answers = [provider.ask(CONFIGURATIONS, token) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert (answers[1].headers["Retry-After"], answers[1].text) == ("7", "<html>")


@pytest.mark.parametrize(
    "rule", [{"route": "*/other"}, {"method": "POST"}, {"tenant": "elsewhere"}]
)
def test_a_fault_leaves_alone_what_does_not_fit(provider: Provider, rule: dict[str, str]) -> None:
    token = provider.ask_token().json()["access_token"]
    provider.fault(status=500, **rule)
    assert provider.ask(CONFIGURATIONS, token).status_code == 200


def test_a_fault_can_delay_an_answer_without_changing_it(provider: Provider) -> None:
    provider.fault(route="*/deviceConfigurations", latency_s=0.2)
    token = provider.ask_token().json()["access_token"]
    began = time.monotonic()
    assert len(provider.ask(CONFIGURATIONS, token).json()["value"]) == 35
    assert time.monotonic() - began >= 0.2


def test_a_fault_can_drop_the_connection(provider: Provider) -> None:
    provider.fault(route="*/deviceConfigurations", drop=True)
    token = provider.ask_token().json()["access_token"]
    with pytest.raises(httpx.RemoteProtocolError):
        provider.ask(CONFIGURATIONS, token)
    assert provider.ask(CONFIGURATIONS, token).status_code == 200


def test_a_fault_with_an_unknown_key_is_refused_by_name(provider: Provider) -> None:
    answer = provider.http.post(f"{provider.url}/_lab/faults", json=[{"status": 500}, {"stat": 1}])
    assert answer.status_code == 400
    assert "stat" in answer.json()["error"]
    assert provider.ask(CONFIGURATIONS).status_code == 200


def test_the_journal_tells_every_request_in_order_and_no_secret(provider: Provider) -> None:
    token = provider.ask_token().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "client-request-id": RUN_ID}
    provider.http.get(f"{provider.url}/{CONFIGURATIONS}?$top=3", headers=headers)
    provider.ask(CONFIGURATIONS, "nonsense")
    asked, listing, refused = provider.journal()
    assert (asked["method"], asked["tenant"]) == ("POST", TENANT)
    assert (listing["method"], listing["path"]) == ("GET", f"/{CONFIGURATIONS}")
    assert "top=3" in listing["query"]
    assert (listing["tenant"], listing["client_request_id"]) == (TENANT, RUN_ID)
    assert (refused["tenant"], refused["client_request_id"]) == (None, None)
    assert SECRET not in str(provider.journal())
    assert token not in str(provider.journal())


def test_a_reset_takes_away_faults_journal_and_tokens(provider: Provider) -> None:
    token = provider.ask_token().json()["access_token"]
    provider.fault(status=500, times=10)
    assert provider.http.post(f"{provider.url}/_lab/reset").status_code == 200
    assert provider.journal() == []
    assert provider.ask(CONFIGURATIONS, token).status_code == 401
    assert provider.ask(CONFIGURATIONS).status_code == 200
