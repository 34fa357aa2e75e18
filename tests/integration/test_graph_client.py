"""The Graph adapter against the local Graph: pages, tries, waits and tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from lastword.reasons import Reason, RunFailure
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import BY_TYPE
from lastword_jobs.graph.errors import (
    PermissionDenied,
    RequestRefused,
    Throttled,
    Unreachable,
)
from lastword_jobs.graph.exchanges import Json
from lastword_jobs.graph.waiting import LONGEST_BACKOFF_S, MAX_TRIES, MAX_WAIT_S
from tests.provider import FOR_EVER, Provider, running_provider
from tests.stage import POLICIES

CONFIGURATIONS = "*/deviceConfigurations"


def pages(client: GraphClient, type_: str = "deviceConfiguration") -> Iterator[list[Json]]:
    return (page.entities for page in client.pages(BY_TYPE[type_].listing))


def ids(client: GraphClient, type_: str = "deviceConfiguration") -> list[str]:
    return [entity["id"] for page in pages(client, type_) for entity in page]


def asked(provider: Provider) -> int:
    return len(provider.journal("/deviceConfigurations"))


# Pages


def test_all_150_policies_are_listed_and_none_twice(provider: Provider) -> None:
    client = provider.client()
    listed = [id_ for type_ in POLICIES for id_ in ids(client, type_)]
    assert len(listed) == len(set(listed)) == 150
    assert client.traffic.pages == 4 + 1 + 1
    assert (client.traffic.retried, client.traffic.throttled) == (0, 0)


def test_an_empty_page_with_a_link_is_not_the_end(provider: Provider) -> None:
    link = f"{provider.url}/v1.0/deviceManagement/deviceConfigurations?$top=50"
    provider.fault(route=CONFIGURATIONS, status=200, body={"value": [], "@odata.nextLink": link})
    assert [len(page) for page in pages(provider.client())] == [0, 35]


def test_a_listing_that_leads_back_to_itself_is_refused(provider: Provider) -> None:
    link = f"{provider.url}/v1.0/deviceManagement/deviceConfigurations?$skiptoken=MA=="
    body = {"value": [], "@odata.nextLink": link}
    provider.fault(route=CONFIGURATIONS, times=FOR_EVER, status=200, body=body)
    with pytest.raises(RequestRefused, match="do not end"):
        ids(provider.client())
    assert asked(provider) == 2


def test_a_link_to_another_host_is_refused_and_that_host_hears_nothing(provider: Provider) -> None:
    own = provider.url.removeprefix("http://")
    with running_provider() as foreign:
        there = foreign.url.removeprefix("http://")
        path = "v1.0/deviceManagement/deviceConfigurations"
        links = (
            f"http://{there}/{path}?$top=1",
            f"http://{own}@{there}/{path}",
            f"//{there}/{path}",
            f"https://{own}/{path}",
            f"http://localhost:{own.partition(':')[2]}/{path}",
            f"/{path}?$top=1",
        )
        for link in links:
            body = {"value": [], "@odata.nextLink": link}
            provider.fault(route=CONFIGURATIONS, status=200, body=body)
            with pytest.raises(RequestRefused, match="another host"):
                ids(provider.client())
        assert foreign.journal() == []
    assert asked(provider) == len(links)


def test_a_redirection_to_another_host_is_not_followed(provider: Provider) -> None:
    with running_provider() as foreign:
        headers = {"Location": f"{foreign.url}/v1.0/deviceManagement/deviceConfigurations"}
        provider.fault(route=CONFIGURATIONS, times=FOR_EVER, status=302, headers=headers)
        with pytest.raises(RunFailure):
            ids(provider.client())
        assert foreign.journal() == []


@pytest.mark.parametrize("body", [[1], {"value": None}, {"value": {}}, {"items": []}])
def test_an_answer_that_is_no_listing_is_refused(provider: Provider, body: Any) -> None:
    provider.fault(route=CONFIGURATIONS, status=200, body=body)
    with pytest.raises(RequestRefused):
        ids(provider.client())


# Waits and tries


def test_a_decimal_retry_after_is_waited_to_the_letter(provider: Provider) -> None:
    headers = {"Retry-After": "2.128"}
    provider.fault(route=CONFIGURATIONS, times=2, status=429, headers=headers)
    client = provider.client()
    assert len(ids(client)) == 35
    assert provider.waits == [2.128, 2.128]
    assert (client.traffic.throttled, client.traffic.retried) == (2, 2)


def test_a_retry_after_that_is_a_date_is_waited_until_then(provider: Provider) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)
    provider.fault(route=CONFIGURATIONS, status=503, headers={"Retry-After": then})
    assert len(ids(provider.client())) == 35
    assert 5 < provider.waits[0] <= 10


@pytest.mark.parametrize(
    "harm",
    [
        {"status": 429},
        {"status": 500},
        {"status": 502, "body": "<html>Bad Gateway</html>"},
        {"status": 503, "headers": {"Retry-After": "in a while"}},
        {"status": 504},
        {"status": 509, "body": {"error": {"code": "BandwidthLimitExceeded"}}},
        {"drop": True},
        {"status": 200, "body": '{"value": [{"id": "1", "displa'},
        {"status": 200, "body": "no gzip", "headers": {"content-encoding": "gzip"}},
    ],
    ids=lambda harm: " ".join(str(value) for value in harm.values()),
)
def test_what_may_pass_is_asked_again_after_a_back_off(
    provider: Provider, harm: dict[str, Any]
) -> None:
    provider.fault(route=CONFIGURATIONS, times=3, **harm)
    client = provider.client()
    assert len(ids(client)) == 35
    assert asked(provider) == 4
    assert client.traffic.retried == len(provider.waits) == 3
    assert all(0 <= wait <= LONGEST_BACKOFF_S for wait in provider.waits)


@pytest.mark.parametrize(
    ("harm", "failure"),
    [
        ({"status": 429, "headers": {"Retry-After": "1"}}, Throttled),
        ({"status": 503}, Unreachable),
        ({"drop": True}, Unreachable),
        ({"status": 200, "body": '{"value": [{"id": "1", "displa'}, Unreachable),
        ({"status": 509, "body": {"value": []}}, Unreachable),
    ],
    ids=lambda item: str(item),
)
def test_after_the_last_try_it_gives_up_at_once(
    provider: Provider, harm: dict[str, Any], failure: type[RunFailure]
) -> None:
    provider.fault(route=CONFIGURATIONS, times=FOR_EVER, **harm)
    client = provider.client()
    with pytest.raises(failure):
        ids(client)
    assert asked(provider) == MAX_TRIES
    assert len(provider.waits) == MAX_TRIES - 1
    assert client.traffic.throttled == (MAX_TRIES if failure is Throttled else 0)


def test_a_wait_beyond_the_budget_is_left_to_the_queue(provider: Provider) -> None:
    provider.fault(route=CONFIGURATIONS, status=429, headers={"Retry-After": "300"})
    with pytest.raises(Throttled, match="300 s") as caught:
        ids(provider.client())
    assert caught.value.reason is Reason.THROTTLED
    assert provider.waits == []
    assert asked(provider) == 1


def test_the_waits_of_one_request_together_stay_within_the_budget(provider: Provider) -> None:
    provider.fault(route=CONFIGURATIONS, times=FOR_EVER, status=429, headers={"Retry-After": "8.5"})
    with pytest.raises(Throttled):
        ids(provider.client())
    assert provider.waits == [8.5, 8.5]
    assert sum(provider.waits) <= MAX_WAIT_S


@pytest.mark.parametrize("status", [400, 404, 409, 410])
def test_a_refusal_is_not_asked_again(provider: Provider, status: int) -> None:
    provider.fault(route=CONFIGURATIONS, times=FOR_EVER, status=status)
    with pytest.raises(RequestRefused, match=str(status)):
        ids(provider.client())
    assert asked(provider) == 1


def test_a_missing_permission_is_said_so_at_once(provider: Provider) -> None:
    provider.graph.tokens.roles = frozenset()
    with pytest.raises(PermissionDenied) as caught:
        ids(provider.client())
    assert caught.value.reason is Reason.PERMISSION_DENIED
    assert asked(provider) == 1
