"""The Graph adapter's tokens: how often it asks for one, what it gives up on, and what it tells."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lastword.reasons import Reason, RunFailure
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import BY_TYPE
from lastword_jobs.graph.errors import AuthenticationFailed, Unreachable
from lastword_jobs.graph.exchanges import Json
from lastword_jobs.graph.tokens import RENEW_BEFORE_S
from tests.provider import FOR_EVER, SECRET, TENANT, Provider

CONFIGURATIONS = "*/deviceConfigurations"


def pages(client: GraphClient, type_: str = "deviceConfiguration") -> Iterator[list[Json]]:
    return (page.entities for page in client.pages((BY_TYPE[type_]).listing))


def ids(client: GraphClient, type_: str = "deviceConfiguration") -> list[str]:
    return [entity["id"] for page in pages(client, type_) for entity in page]


def asked(provider: Provider) -> int:
    return len(provider.journal("/deviceConfigurations"))


def test_one_token_serves_every_request_and_every_thread(provider: Provider) -> None:
    client = provider.client()
    with ThreadPoolExecutor(8) as pool:
        listed = list(pool.map(lambda _: len(ids(client, "settingsCatalog")), range(8)))
    assert listed == [90] * 8
    assert len(provider.journal("/token")) == 1


def test_a_token_that_expires_in_mid_listing_is_refreshed_once(provider: Provider) -> None:
    listing = pages(provider.client(), "settingsCatalog")
    first = next(listing)
    provider.graph.tokens.revoke_all()
    rest = [entity for page in listing for entity in page]
    assert len({entity["id"] for entity in first + rest}) == 90
    assert len(provider.journal("/token")) == 2
    assert len(provider.journal("/configurationPolicies")) == 5
    assert provider.waits == []


def test_a_token_about_to_end_is_renewed_before_it_is_refused(provider: Provider) -> None:
    provider.graph.tokens.lifetime_s = RENEW_BEFORE_S + 2
    client = provider.client()
    seconds = itertools.count()
    client.tokens.clock = lambda: float(next(seconds))
    assert len(ids(client, "settingsCatalog")) == 90
    assert len(provider.journal("/token")) == 2
    assert len(provider.journal("/configurationPolicies")) == 4


def test_a_refusal_of_every_token_ends_after_a_fresh_one(provider: Provider) -> None:
    provider.fault(route=CONFIGURATIONS, times=FOR_EVER, status=401)
    with pytest.raises(AuthenticationFailed) as caught:
        ids(provider.client())
    assert caught.value.reason is Reason.AUTHENTICATION_FAILED
    assert (asked(provider), len(provider.journal("/token"))) == (2, 2)


def test_refused_credentials_are_said_so_and_nothing_is_listed(provider: Provider) -> None:
    with pytest.raises(AuthenticationFailed):
        ids(provider.client(secret="another-secret"))
    assert asked(provider) == 0


@pytest.mark.parametrize(
    "harm",
    [
        {"status": 503},
        {"drop": True},
        {"status": 200, "body": '{"access_tok'},
        {"status": 200, "body": {"token_type": "Bearer"}},
        {"status": 200, "body": [1]},
        {"status": 200, "body": {"access_token": "t", "expires_in": None}},
    ],
    ids=lambda harm: " ".join(str(value) for value in harm.values()),
)
def test_a_token_endpoint_without_a_token_is_unreachable_and_asked_by_the_next_try(
    provider: Provider, harm: dict[str, Any]
) -> None:
    provider.fault(route="*/token", **harm)
    client = provider.client()
    with pytest.raises(Unreachable):
        ids(client)
    assert len(ids(client)) == 35


# What it says of itself


def test_every_request_carries_the_id_of_its_run(provider: Provider) -> None:
    provider.fault(route="*/configurationPolicies", skip=1, status=503)
    ids(provider.client(run_id="run-42"), "settingsCatalog")
    listings = provider.journal("/configurationPolicies")
    assert len(listings) == 5
    assert {entry["client_request_id"] for entry in listings} == {"run-42"}
    assert {entry["tenant"] for entry in listings} == {TENANT}


@pytest.mark.parametrize(
    "harm",
    [
        {"route": "*/token", "status": 401, "body": {"error": SECRET}},
        {"route": "*/token", "status": 500, "body": SECRET},
        {"route": "*/token", "drop": True},
        {"status": 401},
        {"status": 403, "body": {"error": {"message": SECRET}}},
        {"status": 400, "body": {"error": {"message": SECRET}}},
        {"status": 200, "body": f'{{"value": "{SECRET}'},
        {"status": 200, "body": {"value": [], "@odata.nextLink": f"http://x/?{SECRET}"}},
        {"drop": True},
    ],
    ids=lambda harm: " ".join(str(value) for value in harm.values()),
)
def test_no_failure_tells_a_secret_a_token_or_what_the_provider_said(
    provider: Provider, harm: dict[str, Any]
) -> None:
    client = provider.client()
    tokens = {client.tokens.token(TENANT)}
    if "route" in harm:
        provider.graph.tokens.revoke_all()
    provider.fault(**{"route": CONFIGURATIONS, "times": FOR_EVER, **harm})
    with pytest.raises(RunFailure) as caught:
        ids(client)
    told = "".join(traceback.format_exception(caught.value)) + repr(client)
    tokens |= set(provider.graph.tokens._grants)
    assert [word for word in (SECRET, *tokens) if word in told] == []
