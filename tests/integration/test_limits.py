"""Large tenants within the documented limits: few requests, shared by workers, none refused."""

from __future__ import annotations

import threading
import time

import pytest
import redis
from dramatiq.rate_limits.backends import RedisBackend, StubBackend

from lastword.reasons import Deferral
from lastword.service.tenants import add_tenant
from lastword.storage.ledger import Ledger
from lastword_jobs.content.differences import differences
from lastword_jobs.graph.contracts import BY_TYPE, POLICY_TYPES
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.graph.exchanges import Ask
from lastword_jobs.graph.limits import READS, SHARE, Limits, Workload
from lastword_jobs.syncing import Sync
from lastword_middleware.broker import redis_client
from tests.integration.test_restores import contents
from tests.provider import CLIENT_ID, TENANT, Provider
from tests.stage import POLICIES, Stage, assert_sums


@pytest.fixture
def large(stage: Stage) -> Stage:
    """600 policies, of which the server counts every request."""
    stage.provider.lab("seed", tenant=TENANT, size="L")
    return stage


def test_a_sync_of_600_policies_asks_for_no_page_more_than_there_is(large: Stage) -> None:
    run = large.policies(*POLICIES)
    assert run.counts["items"] == 600
    fewest = 15 + 1 + 1
    assert len(large.asked_by(run)) == run.counts["pages"] == fewest
    whole = large.policies(*POLICY_TYPES)
    assert whole.counts["items"] == 640
    assert len(large.asked_by(whole)) <= 1.2 * (fewest + 1 + 1)


def test_four_workers_on_one_tenant_stay_inside_its_limits(
    provider: Provider, sqlite_ledger: Ledger, redis_url: str
) -> None:
    add_tenant(sqlite_ledger, tenant_id=TENANT, name="Contoso")
    large = Stage(provider, sqlite_ledger)
    provider.lab("seed", tenant=TENANT, size="L")
    # A twentieth of the documented limits, so that four syncs are enough to meet them.
    large.provider.lab("rules", scale=20)
    client = redis.Redis.from_url(redis_url)
    shared = Limits(RedisBackend(client=client), CLIENT_ID, share=SHARE / 20)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        run = large.run()
        graph = large.provider.client(run_id=f"worker-{number}", sleep=time.sleep, limits=shared)
        try:
            Sync(run, graph, large.ledger).inventory(POLICIES)
            assert graph.traffic.throttled == 0
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits for it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert failures == []
    entries = [entry for entry in large.provider.journal() if entry.get("client_request_id")]
    assert len(entries) == 4 * 17
    assert {entry["status"] for entry in entries} == {200}
    assert len(large.seen("inventory_item")) == 600


def test_a_request_whose_turn_does_not_come_is_left_to_the_queue(provider: Provider) -> None:
    waits: list[float] = []
    limits = Limits(StubBackend(), CLIENT_ID, sleep=waits.append, share=0.001)
    client = provider.client(limits=limits)
    path = BY_TYPE["deviceConfiguration"].listing
    assert client.get(path)
    with pytest.raises(Deferral, match="Other runs"):
        client.get(path)
    assert sum(waits) >= 30
    assert len(provider.journal("/deviceConfigurations")) == 1


def test_without_the_shared_counts_the_provider_is_asked_all_the_same(provider: Provider) -> None:
    with redis_client("redis://127.0.0.1:1/0") as nowhere:
        limits = Limits(RedisBackend(client=nowhere), CLIENT_ID)
        assert provider.client(limits=limits).get(BY_TYPE["roleScopeTag"].listing)["value"]


def test_a_batch_counts_as_many_times_as_it_asks(provider: Provider) -> None:
    most = int(READS[Workload.INTUNE].amount * SHARE)
    limits = Limits(StubBackend(), CLIENT_ID, sleep=lambda seconds: None, share=SHARE * 30 / most)
    client = provider.client(limits=limits)
    ids = [
        policy["id"] for policy in provider.all_pages("v1.0/deviceManagement/deviceConfigurations")
    ]
    asks = [Ask("GET", BY_TYPE["deviceConfiguration"].one(id_)) for id_ in ids[:35]]
    answers = client.batch(asks)
    assert len([next(answers) for _ in range(20)]) == 20
    with pytest.raises(Deferral):
        next(answers)


def test_600_policies_are_compared_and_exactly_what_was_planted_is_found(large: Stage) -> None:
    large.provider.lab("rules", scale=0)
    large.groups("full")
    profile = large.profile()
    assert large.capture(profile).counts["succeeded"] == 600
    drifts = [
        ("change_setting", "configurationPolicies", 11),
        ("change_tags", "configurationPolicies", 222),
        ("add_assignment", "configurationPolicies", 333),
        ("change_setting", "deviceConfigurations", 44),
        ("drop_assignment", "deviceConfigurations", 100),
        ("delete_policy", "deviceConfigurations", 149),
        ("change_setting", "deviceCompliancePolicies", 55),
        ("add_policy", "deviceCompliancePolicies", 66),
    ]
    planted = {
        large.provider.drift(name, collection=collection, nth=nth)["name"]
        for name, collection, nth in drifts
    }
    run = large.compare(profile)
    assert_sums(run)
    assert {item.name for item in large.findings()} == planted
    assert run.counts["findings"] == len(drifts)
    assert (run.outcome, run.counts["total"]) == ("succeeded", 601)


def test_a_medium_tenant_comes_back_whole(stage: Stage) -> None:
    stage.provider.lab("rules", scale=0)
    stage.groups("full")
    before = contents(stage)
    set_id = str(stage.back_up().context["backup_set_id"])
    stage.provider.drift("wipe")
    run = stage.restore(stage.previewed(set_id))
    assert (run.outcome, run.counts["created"]) == ("succeeded", 150)
    after = contents(stage)
    assert after.keys() == before.keys()
    assert [d for key in before for d in differences(before[key], after[key])] == []


def test_a_provider_that_is_away_is_waited_for_by_the_queue_and_not_by_the_worker(
    stage: Stage,
) -> None:
    stage.provider.fault(route="*", times=1_000_000, drop=True)
    with pytest.raises(Unreachable):
        stage.policies("deviceConfiguration")
    assert sum(stage.provider.waits) <= 20
