"""Throttling by the local Graph: documented limits, every form of Retry-After, early returns."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from lastword_jobs.graph.waiting import retry_after_s
from lastword_jobs.graph_server.catalogue import BY_NAME
from lastword_jobs.graph_server.clock import VirtualClock
from lastword_jobs.graph_server.resources import Workload
from lastword_jobs.graph_server.rules import Rules
from lastword_jobs.graph_server.tenants import Size
from lastword_jobs.graph_server.throttling import Asker, Kind, Throttle, Throttled
from tests.provider import SECRET, TENANT, Provider

CONFIGURATIONS = "v1.0/deviceManagement/deviceConfigurations"
TAGS = "beta/deviceManagement/roleScopeTags"
ACCESS = "v1.0/identity/conditionalAccess/policies"


def asker(kind: Kind = "read", **changes: Any) -> Asker:
    values: dict[str, Any] = {
        "client_id": "app-1",
        "tenant_id": TENANT,
        "size": Size.M,
        "workload": Workload.INTUNE,
        "kind": kind,
        **changes,
    }
    return Asker(**values)


def admitted(throttle: Throttle, who: Asker, tries: int, now_s: float = 0.0) -> int:
    """How many of these tries at one moment are let in."""
    count = 0
    for _ in range(tries):
        try:
            throttle.admit(who, Rules(), now_s)
        except Throttled:
            continue
        count += 1
    return count


# The documented limits


@pytest.mark.parametrize(
    ("who", "limit"),
    [
        (asker("read"), 1000),
        (asker("write"), 100),
        (asker(workload=Workload.DIRECTORY, size=Size.M, units=4), 1250),
        (asker(workload=Workload.CONDITIONAL_ACCESS), 1),
        (asker("write", workload=Workload.CONDITIONAL_ACCESS), 1),
    ],
    ids=str,
)
def test_at_one_moment_as_many_are_let_in_as_is_documented(who: Asker, limit: int) -> None:
    assert admitted(Throttle(), who, 2 * limit) == limit


@pytest.mark.parametrize(("size", "units"), [(Size.S, 3500), (Size.M, 5000), (Size.L, 8000)])
def test_a_larger_directory_gives_more_units(size: Size, units: int) -> None:
    who = asker(workload=Workload.DIRECTORY, size=size, units=100)
    assert admitted(Throttle(), who, 100) == units // 100


def test_two_applications_have_a_limit_each_and_one_of_the_tenant_together() -> None:
    throttle = Throttle()
    counts = [
        admitted(throttle, asker("write", client_id=f"app-{number}"), 100) for number in range(3)
    ]
    assert counts == [100, 100, 0]
    assert admitted(throttle, asker("write", tenant_id="fabrikam"), 100) == 100


def test_an_application_has_a_limit_over_all_tenants() -> None:
    throttle = Throttle()
    counts = [admitted(throttle, asker(tenant_id=f"tenant-{n}"), 900) for n in range(3)]
    assert counts == [900, 900, 200]


def test_in_twenty_seconds_a_limit_is_there_again() -> None:
    throttle = Throttle()
    assert admitted(throttle, asker("write"), 100) == 100
    assert admitted(throttle, asker("write"), 60, now_s=10.0) == 50
    assert admitted(throttle, asker("read"), 100, now_s=10.0) == 100


# On the wire


@pytest.fixture
def clock(provider: Provider) -> VirtualClock:
    """Time stands still, and the limits are a hundredth: 10 reads and 1 write in 20 s."""
    clock = provider.stop_time()
    provider.lab("rules", scale=100)
    return clock


def throttled(provider: Provider, path: str = CONFIGURATIONS) -> httpx.Response:
    """The first answer that is not let in."""
    token = provider.ask_token().json()["access_token"]
    for _ in range(100):
        answer = provider.ask(path, token)
        if answer.status_code != 200:
            return answer
    raise AssertionError("everything was let in")


@pytest.mark.parametrize("form", ["int", "decimal", "date"])
def test_whoever_waits_as_told_is_let_in(
    provider: Provider, clock: VirtualClock, form: str
) -> None:
    provider.lab("rules", retry_after=form)
    clock.wait(0.3)
    answer = throttled(provider)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "TooManyRequests")
    header = answer.headers["Retry-After"]
    assert header.isdecimal() == (form == "int")
    assert ("GMT" in header) == (form == "date")
    wait_s = retry_after_s(header, now=clock.now())
    assert wait_s is not None
    assert 2 <= wait_s <= 4
    clock.wait(wait_s)
    assert provider.ask(CONFIGURATIONS).status_code == 200


def test_a_date_names_a_whole_second_that_is_not_too_soon(
    provider: Provider, clock: VirtualClock
) -> None:
    provider.lab("rules", retry_after="date")
    clock.wait(0.9)
    then = parsedate_to_datetime(throttled(provider).headers["Retry-After"])
    assert then - clock.now() >= timedelta(seconds=2)


def test_the_header_may_be_absent_or_take_every_form_in_turn(
    provider: Provider, clock: VirtualClock
) -> None:
    provider.lab("rules", retry_after="absent")
    assert "Retry-After" not in throttled(provider).headers
    provider.lab("rules", retry_after="mixed")
    headers = [throttled(provider).headers.get("Retry-After", "") for _ in range(4)]
    assert [header.isdecimal() for header in headers] == [True, False, False, False]
    assert "." in headers[1]
    assert "GMT" in headers[2]
    assert headers[3] == ""


def test_coming_back_early_makes_the_wait_longer_and_is_written_down(
    provider: Provider, clock: VirtualClock
) -> None:
    provider.lab("rules", retry_after="decimal", penalty_s=5)
    waits = [float(throttled(provider).headers["Retry-After"]) for _ in range(3)]
    assert waits == [2, 7, 12]
    early = [entry["early"] for entry in provider.journal("Configurations") if "early" in entry]
    assert early == [False, True, True]
    clock.wait(waits[-1] - 0.1)
    assert throttled(provider).status_code == 429
    assert provider.journal("Configurations")[-1]["early"] is True


def test_another_caller_may_come_while_the_first_has_to_wait(
    provider: Provider, clock: VirtualClock
) -> None:
    wait_s = int(throttled(provider).headers["Retry-After"])
    headers = {"client-request-id": "another"}
    refused = provider.send("GET", CONFIGURATIONS, headers=headers)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(wait_s))
    clock.wait(wait_s)
    assert provider.ask(CONFIGURATIONS).status_code == 200
    assert [entry for entry in provider.journal() if entry.get("early")] == []


def test_a_long_rain_of_early_returns_does_not_shut_somebody_out_for_ever(
    provider: Provider, clock: VirtualClock
) -> None:
    provider.lab("rules", penalty_s=10)
    waits = [int(throttled(provider).headers["Retry-After"]) for _ in range(20)]
    assert max(waits) <= 60
    clock.wait(60)
    assert provider.ask(CONFIGURATIONS).status_code == 200


def test_answers_tell_of_a_limit_only_above_four_fifths_of_it(
    provider: Provider, clock: VirtualClock
) -> None:
    token = provider.ask_token().json()["access_token"]
    answers = [provider.ask(CONFIGURATIONS, token) for _ in range(12)]
    told = [answer.headers.get("x-ms-throttle-limit-percentage") for answer in answers]
    assert told[:8] == [None] * 8
    assert told[8:] == ["0.90", "1.00", "1.00", "1.10"]
    assert TENANT in answers[-1].headers["x-ms-throttle-scope"]
    assert answers[-1].headers["x-ms-throttle-information"] == "ReadLimitExceeded"


def test_writes_run_out_before_reads(provider: Provider, clock: VirtualClock) -> None:
    codes = [provider.send("POST", TAGS, {"displayName": "x"}).status_code for _ in range(2)]
    assert codes == [201, 429]
    assert provider.ask(TAGS).status_code == 200
    assert len(provider.all_pages(TAGS)) == 7


def test_conditional_access_lets_one_a_second_in_and_never_says_when(provider: Provider) -> None:
    clock = provider.stop_time()
    assert provider.ask(ACCESS).status_code == 200
    answer = provider.ask(ACCESS)
    assert answer.status_code == 429
    assert "Retry-After" not in answer.headers
    clock.wait(2)
    assert provider.ask(ACCESS).status_code == 200


def test_applications_have_credentials_and_limits_of_their_own(
    provider: Provider, clock: VirtualClock
) -> None:
    provider.graph.tokens.others["app-2"] = "another-secret"
    assert throttled(provider).status_code == 429
    assert provider.ask_token(client_id="app-2").json()["error"] == "invalid_client"
    other = provider.ask_token(client_id="app-2", client_secret="another-secret").json()
    assert provider.ask(CONFIGURATIONS, other["access_token"]).status_code == 200


def test_without_a_scale_there_are_no_limits(provider: Provider, clock: VirtualClock) -> None:
    provider.lab("rules", scale=0)
    token = provider.ask_token().json()["access_token"]
    assert {provider.ask(ACCESS, token).status_code for _ in range(30)} == {200}


def test_a_read_that_selects_costs_less_and_licences_cost_three_units(
    provider: Provider, clock: VirtualClock
) -> None:
    assert (BY_NAME["groups"].units, BY_NAME["subscribedSkus"].units) == (1, 3)
    token = provider.ask_token().json()["access_token"]
    units = [
        provider.ask(path, token).headers.get("x-ms-resource-unit")
        for path in (
            "v1.0/subscribedSkus",
            "v1.0/subscribedSkus?$select=skuId",
            "v1.0/subscribedSkus?$select=skuId&$top=1",
            "v1.0/groups?$select=id&$top=1",
            CONFIGURATIONS,
        )
    ]
    assert units == ["3", "2", "1", "1", None]


@pytest.mark.parametrize("form", ["int", "decimal"])
def test_the_adapter_gets_everything_under_the_limits_by_waiting_as_told(
    provider: Provider, clock: VirtualClock, form: str
) -> None:
    provider.lab("rules", scale=500, retry_after=form)
    client = provider.client(sleep=clock.wait)
    pages = (page.entities for page in client.pages("beta/deviceManagement/configurationPolicies"))
    assert len({policy["id"] for page in pages for policy in page}) == 90
    statuses = [entry["status"] for entry in provider.journal("/configurationPolicies")]
    assert statuses == [200, 200, 429, 200, 429, 200]
    assert [entry for entry in provider.journal() if entry.get("early")] == []


def test_a_secret_is_in_no_answer_of_the_limits(provider: Provider, clock: VirtualClock) -> None:
    answer = throttled(provider)
    assert SECRET not in answer.text + str(answer.headers)
