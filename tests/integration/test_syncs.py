"""The two syncs from a local Graph into both databases: what lands, counts and goes missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lastword.current import CurrentRun
from lastword.reasons import Blocked, Deferral, PermanentFailure, Reason
from lastword.service.tenants import add_tenant
from lastword.states import Outcome
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.graph.waiting import MAX_TRIES
from lastword_jobs.syncing import Sync
from tests.provider import FOR_EVER, TENANT
from tests.stage import POLICIES, Stage
from tests.stage import assert_sums as sums


def assert_sums(run: CurrentRun) -> None:
    sums(run)
    changes = (run.counts.get(key, 0) for key in ("created", "updated", "unchanged"))
    assert sum(changes) == run.counts.get("items", 0)


def test_150_policies_land_with_their_names_and_their_counts_add_up(stage: Stage) -> None:
    run = stage.policies()
    assert run.counts == {
        "total": 3,
        "processed": 3,
        "succeeded": 3,
        "failed": 0,
        "items": 150,
        "pages": 6,
        "created": 150,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "throttled": 0,
        "retried": 0,
    }
    assert_sums(run)
    assert (run.outcome, run.failures) == (Outcome.SUCCEEDED, [])
    assert run.context == {"coverage": {"types": dict.fromkeys(POLICIES, "succeeded")}}
    given = {entity["id"]: entity["name"] for entity in stage.objects("configurationPolicies")}
    seen = stage.seen(type_="settingsCatalog")
    assert {id_: name for id_, (name, _, _) in seen.items()} == given
    assert len(stage.seen()) == 150


def test_an_inventory_has_every_type_and_touches_no_policy_record(stage: Stage) -> None:
    run = stage.inventory()
    assert_sums(run)
    assert run.counts["items"] == run.counts["created"] == 168
    assert "deleted" not in run.counts
    assert len(stage.seen("inventory_item")) == 168
    assert stage.seen("policy") == {}


@pytest.mark.parametrize("kind", [Stage.policies, Stage.inventory])
def test_a_second_sync_changes_nothing(stage: Stage, kind: Callable[[Stage], CurrentRun]) -> None:
    kind(stage)
    before = stage.seen(), stage.seen("inventory_item")
    again = kind(stage)
    assert_sums(again)
    assert again.counts["unchanged"] == again.counts["items"] > 0
    assert (stage.seen(), stage.seen("inventory_item")) == before


def test_a_retry_of_the_same_run_asks_for_nothing_again_and_counts_the_same(
    stage: Stage,
) -> None:
    first = stage.policies()
    asked = len(stage.provider.journal())
    again = CurrentRun(first.run_id, first.operation, attempt=2, tenant_id=TENANT)
    stage.sync(again).policies(POLICIES)
    assert_sums(again)
    traffic = {"throttled": 0, "retried": 0}
    assert {**again.counts, **traffic} == first.counts
    assert len(stage.provider.journal()) == asked


def test_a_renamed_policy_is_updated_and_only_that_one(stage: Stage) -> None:
    stage.policies()
    [renamed, *_] = stage.objects("configurationPolicies")
    renamed["name"] = "Renamed"
    run = stage.policies()
    assert (run.counts["updated"], run.counts["unchanged"]) == (1, 149)
    assert_sums(run)
    assert stage.seen()[renamed["id"]][0] == "Renamed"


def test_a_change_of_a_fact_that_is_kept_is_an_update(stage: Stage) -> None:
    stage.policies("deviceConfiguration")
    [changed, *_] = stage.objects("deviceConfigurations")
    changed["version"] = 4711
    assert stage.policies("deviceConfiguration").counts["updated"] == 1
    assert stage.seen()[changed["id"]][1]["version"] == 4711


def test_a_removed_policy_becomes_missing_once_and_comes_back(stage: Stage) -> None:
    stage.policies()
    policies = stage.objects("configurationPolicies")
    removed = policies.pop(30)
    assert stage.policies().counts["deleted"] == 1
    assert stage.missing() == {removed["id"]}
    assert stage.policies().counts["deleted"] == 0
    policies.append(removed)
    run = stage.policies()
    assert_sums(run)
    assert stage.missing() == set()
    assert len(stage.seen()) == 150


def test_when_every_policy_of_a_type_is_gone_all_of_that_type_are_missing(stage: Stage) -> None:
    stage.policies()
    stage.objects("deviceCompliancePolicies").clear()
    run = stage.policies()
    assert (run.counts["deleted"], run.counts["items"]) == (25, 125)
    assert stage.missing() == set(stage.seen(type_="deviceCompliance"))


def test_another_tenants_policies_are_left_alone(stage: Stage) -> None:
    stage.policies()
    add_tenant(stage.ledger, tenant_id="fabrikam", name="Fabrikam")
    with stage.ledger.transaction():
        stage.ledger.execute("UPDATE lastword_jobs_policy SET tenant_id = 'fabrikam'")
    stage.objects("configurationPolicies").clear()
    run = stage.policies()
    assert (run.counts["created"], run.counts["deleted"]) == (60, 0)
    assert stage.missing() == set()


def test_a_type_that_is_refused_leaves_a_gap_and_marks_nothing_missing(stage: Stage) -> None:
    stage.policies()
    stage.objects("configurationPolicies").pop()
    stage.provider.fault(route="*/deviceConfigurations", times=FOR_EVER, status=403)
    run = stage.policies()
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    [failure] = run.failures
    assert failure["code"] == Reason.PERMISSION_DENIED
    assert failure["message"].startswith("deviceConfiguration: ")
    assert_sums(run)
    counts = run.counts
    assert (counts["total"], counts["succeeded"], counts["failed"]) == (3, 2, 1)
    assert (counts["items"], counts["deleted"]) == (114, 1)
    assert run.context["coverage"]["types"]["deviceConfiguration"] == "failed"
    assert stage.missing().isdisjoint(stage.seen(type_="deviceConfiguration"))


def test_a_type_that_is_refused_after_its_first_page_marks_nothing_missing(stage: Stage) -> None:
    stage.policies()
    stage.provider.fault(route="*/configurationPolicies", skip=1, times=FOR_EVER, status=403)
    run = stage.policies()
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert_sums(run)
    assert stage.missing() == set()


def test_an_application_without_a_role_syncs_the_rest_of_the_inventory(stage: Stage) -> None:
    stage.provider.graph.tokens.roles = frozenset({"DeviceManagementConfiguration.Read.All"})
    run = stage.inventory()
    assert (run.counts["succeeded"], run.counts["failed"]) == (4, 1)
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert stage.seen("inventory_item", "roleScopeTag") == {}


def test_when_every_type_is_refused_the_run_fails_with_the_refusal(stage: Stage) -> None:
    stage.policies()
    stage.provider.graph.tokens.roles = frozenset()
    run = stage.run()
    with pytest.raises(Blocked) as caught:
        stage.sync(run).policies(POLICIES)
    assert caught.value.reason is Reason.PERMISSION_DENIED
    assert (run.counts["processed"], run.counts["failed"]) == (3, 3)
    assert_sums(run)
    assert stage.missing() == set()


def test_a_listing_that_breaks_off_in_the_middle_marks_nothing_missing(stage: Stage) -> None:
    stage.policies()
    stage.objects("configurationPolicies").pop()
    stage.provider.fault(route="*/configurationPolicies", skip=2, times=FOR_EVER, drop=True)
    run = stage.run()
    with pytest.raises(Unreachable):
        stage.sync(run).policies(POLICIES)
    assert (run.counts["items"], run.counts["processed"]) == (50, 0)
    assert_sums(run)
    assert stage.missing() == set()


def test_a_policy_that_goes_between_two_attempts_of_a_run_becomes_missing(stage: Stage) -> None:
    stage.provider.fault(route="*/configurationPolicies", skip=1, times=MAX_TRIES, drop=True)
    run = stage.run()
    with pytest.raises(Unreachable):
        stage.sync(run).policies(POLICIES)
    gone = stage.objects("configurationPolicies").pop(0)
    again = CurrentRun(run.run_id, run.operation, attempt=2, tenant_id=TENANT)
    stage.sync(again).policies(POLICIES)
    assert again.counts["deleted"] == 1
    assert stage.missing() == {gone["id"]}


def test_what_was_throttled_and_asked_again_is_counted(stage: Stage) -> None:
    stage.provider.fault(route="*/configurationPolicies", skip=1, status=429)
    stage.provider.fault(route="*/deviceConfigurations", status=503)
    counts = stage.policies().counts
    assert (counts["items"], counts["throttled"], counts["retried"]) == (150, 1, 2)


def test_the_traffic_of_a_run_that_fails_is_counted_too(stage: Stage) -> None:
    stage.provider.fault(status=429, headers={"Retry-After": "300"}, route="*/deviceConfigurations")
    run = stage.run()
    with pytest.raises(Deferral):
        stage.sync(run).policies(POLICIES)
    assert run.counts["throttled"] == 1


def test_an_object_listed_twice_counts_once(stage: Stage) -> None:
    twice = [{"id": "1", "displayName": "first"}, {"id": "1", "displayName": "second"}]
    stage.provider.fault(route="*/deviceConfigurations", status=200, body={"value": twice})
    run = stage.policies("deviceConfiguration")
    assert_sums(run)
    assert run.counts["created"] == 1
    assert stage.seen()["1"][0] == "second"


@pytest.mark.parametrize("kind", [Sync.policies, Sync.inventory])
def test_an_unknown_type_fails_before_anything_is_asked(
    stage: Stage, kind: Callable[[Sync, list[str]], None]
) -> None:
    with pytest.raises(PermanentFailure, match="Unknown types unheardOf") as caught:
        kind(stage.sync(stage.run()), ["settingsCatalog", "unheardOf"])
    assert caught.value.reason is Reason.EXECUTION_PREREQUISITE_INVALID
    assert stage.provider.journal() == []


@pytest.mark.parametrize("types", [5, "settingsCatalog", [1], {"a": 1}, ["x" * 100_000]])
def test_types_that_are_no_list_of_types_fail_at_once_with_a_short_sentence(
    stage: Stage, types: Any
) -> None:
    with pytest.raises(PermanentFailure) as caught:
        stage.sync(stage.run()).policies(types)
    assert "settingsCatalog" in caught.value.message
    assert len(caught.value.message) < 500
