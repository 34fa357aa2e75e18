"""Baselines: captured and compared; what was planted is found, what is not known is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lastword.reasons import Blocked, Deferral, PermanentFailure, Reason
from lastword.states import Outcome
from lastword_jobs.baselines.findings import accept_finding
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.graph.waiting import MAX_TRIES
from tests.provider import FOR_EVER, TENANT
from tests.stage import Stage, assert_sums


@pytest.fixture
def known(stage: Stage) -> Stage:
    """A stage whose groups are known, and whose server has no limits."""
    stage.provider.lab("rules", scale=0)
    stage.groups("full")
    return stage


@pytest.fixture
def small(stage: Stage) -> Stage:
    """The same with 20 policies: for what is the same whatever their number."""
    stage.provider.lab("seed", tenant=TENANT, size="S")
    stage.provider.lab("rules", scale=0)
    stage.groups("full")
    return stage


def found(stage: Stage, status: str = "open") -> set[tuple[str, str, str]]:
    return {(item.name, item.kind, item.change) for item in stage.findings(status)}


def drift(stage: Stage, name: str, **details: Any) -> str:
    return str(stage.provider.drift(name, **details)["name"])


def test_a_capture_holds_every_policy_and_no_id_of_its_tenant(known: Stage) -> None:
    run = known.capture(known.profile())
    assert_sums(run)
    assert (run.outcome, run.counts["succeeded"], run.counts["failed"]) == ("succeeded", 150, 0)
    assert run.context["baseline_capture"]["status"] == "complete"
    items = known.rows("baseline_item")
    assert len(items) == 150
    text = json.dumps(items)
    ids = {group["id"] for group in known.objects("groups")}
    assert not [id_ for id_ in ids if id_ in text]


def test_a_capture_of_the_same_tenant_changes_nothing(known: Stage) -> None:
    profile = known.profile()
    first = known.capture(profile).context["baseline_capture"]
    again = known.capture(profile)
    told = again.context["baseline_capture"]
    assert (told["reused"], told["snapshot_id"]) == (True, first["snapshot_id"])
    assert (again.counts["created"], again.counts["unchanged"]) == (0, 150)
    assert len(known.rows("baseline_item")) == len(known.rows("version")) == 150


def test_a_capture_that_broke_off_goes_on_and_reads_nothing_twice(known: Stage) -> None:
    profile, run = known.profile(), known.run()
    known.provider.fault(route="*/$batch", skip=9, times=MAX_TRIES, drop=True)
    with pytest.raises(Unreachable):
        known.capture(profile, run)
    taken = run.counts["succeeded"]
    assert 0 < taken < 150
    again = known.again(run)
    known.capture(profile, again)
    assert (again.counts["succeeded"], again.counts["created"]) == (150, 150)
    assert len(known.rows("baseline_snapshot")) == 1
    read = [entry["path"] for entry in known.asked_by(run) if entry["path"].endswith("/settings")]
    # Only what was in the batches that were lost is read a second time.
    assert len(read) - len(set(read)) <= 40


def test_a_capture_that_has_to_wait_keeps_what_it_has(known: Stage) -> None:
    profile, run = known.profile(), known.run()
    known.provider.fault(route="*/assignments", skip=70, status=429, headers={"Retry-After": "120"})
    with pytest.raises(Deferral) as caught:
        known.capture(profile, run)
    assert (caught.value.reason, caught.value.delay_s) == (Reason.THROTTLED, 120)
    assert run.counts["succeeded"] > 0
    again = known.again(run)
    known.capture(profile, again)
    assert again.counts["succeeded"] == 150


def test_what_is_throttled_in_a_batch_is_asked_again_by_itself(known: Stage) -> None:
    known.provider.fault(
        route="*/assignments", skip=10, times=3, status=429, headers={"Retry-After": "1.5"}
    )
    run = known.capture(known.profile())
    assert run.counts["succeeded"] == 150
    assert known.provider.waits == [1.5] * len(known.provider.waits)
    asked = [(entry["path"], entry["query"]) for entry in known.asked_by(run)]
    assert len(asked) - len(set(asked)) == 3


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ({"route": "*/deviceConfigurations", "status": 403}, "permission_denied"),
        ({"route": "*/deviceConfigurations/*/assignments", "status": 403}, "permission_denied"),
        (
            {"route": "*/assignments", "status": 200, "body": {"value": [{"id": "x"}]}},
            "invalid_state",
        ),
        ({"route": "*/settings", "status": 400}, "invalid_state"),
    ],
)
def test_a_snapshot_with_a_gap_is_incomplete_and_nothing_is_compared_with_it(
    small: Stage, harm: dict[str, Any], reason: str
) -> None:
    small.provider.fault(times=1, **harm)
    profile = small.profile()
    run = small.capture(profile)
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert run.failures[0]["code"] == reason
    assert run.context["baseline_capture"]["status"] == "incomplete"
    assert_sums(run)
    with pytest.raises(Blocked):
        small.compare(profile)


def test_a_policy_that_is_gone_when_it_is_to_be_read_is_skipped(small: Stage) -> None:
    small.provider.fault(route="*/deviceConfigurations/*", skip=4, gone=True)
    run = small.capture(small.profile())
    assert (run.outcome, run.counts["skipped"]) == (Outcome.SUCCEEDED, 1)
    assert (run.counts["succeeded"], run.counts["total"]) == (19, 20)


def test_a_tenant_without_anything_in_scope_is_no_baseline(small: Stage) -> None:
    with pytest.raises(PermanentFailure, match="no policy in scope"):
        small.capture(small.profile("linuxCompliance"))


def test_a_profile_of_another_workspace_does_not_exist(small: Stage) -> None:
    profile, run = small.profile(), small.run()
    run.workspace_id = "another"
    with pytest.raises(Blocked):
        small.capture(profile, run)


# Comparing


def test_nothing_is_found_where_nothing_has_changed(known: Stage) -> None:
    profile = known.profile()
    known.capture(profile)
    run = known.compare(profile)
    assert_sums(run)
    assert (run.outcome, run.counts["findings"], run.counts["total"]) == ("succeeded", 0, 150)
    assert run.context["baseline_compare"]["reason_code"] == "no_drift"
    assert known.findings() == []


def test_exactly_what_was_planted_is_found(known: Stage) -> None:
    profile = known.profile()
    known.capture(profile)
    catalog = "configurationPolicies"
    planted = {
        (drift(known, "change_setting", nth=0), "policy_snapshot", "different"),
        (drift(known, "change_tags", nth=1), "policy_scope_tags", "different"),
        (drift(known, "add_assignment", nth=2), "policy_assignments", "different"),
        (
            drift(known, "drop_assignment", collection="deviceConfigurations", nth=0),
            "policy_assignments",
            "different",
        ),
        (drift(known, "add_policy", nth=4), "policy_snapshot", "unexpected"),
        (drift(known, "delete_policy", nth=5), "policy_snapshot", "missing"),
    }
    before = known.objects(catalog)[6]["name"]
    drift(known, "rename", nth=6)
    planted |= {
        (before, "policy_snapshot", "missing"),
        (known.objects(catalog)[6]["name"], "policy_snapshot", "unexpected"),
    }
    run = known.compare(profile)
    assert_sums(run)
    assert found(known) == planted
    assert run.counts["findings"] == run.counts["created"] == len(planted)
    assert (run.counts["missing"], run.counts["unexpected"], run.counts["drifted"]) == (2, 2, 4)
    again = known.compare(profile)
    assert (again.counts["created"], again.counts["updated"], again.counts["resolved"]) == (0, 0, 0)
    assert len(known.findings()) == len(planted)


def test_a_finding_closes_when_it_is_found_no_more_and_opens_again(small: Stage) -> None:
    profile = small.profile()
    small.capture(profile)
    policy = small.objects("configurationPolicies")[3]
    drift(small, "change_tags", nth=3)
    small.compare(profile)
    [finding] = small.findings()
    tags = list(policy["roleScopeTagIds"])
    policy["roleScopeTagIds"] = ["0"] if len(tags) > 1 else tags[:0]
    assert small.compare(profile).counts["resolved"] == 1
    assert small.findings() == []
    policy["roleScopeTagIds"] = tags
    small.compare(profile)
    [again] = small.findings()
    assert again.id == finding.id


def test_what_was_accepted_stays_so_until_it_changes(small: Stage) -> None:
    profile = small.profile()
    small.capture(profile)
    drift(small, "change_setting", nth=0)
    small.compare(profile)
    [finding] = small.findings()
    assert accept_finding(small.ledger, finding.id, tenant_id=TENANT)
    small.compare(profile)
    assert (small.findings(), len(small.findings("accepted"))) == ([], 1)
    small.objects("configurationPolicies")[0]["description"] = "and more"
    assert small.compare(profile).counts["updated"] == 1
    assert [item.id for item in small.findings()] == [finding.id]


def test_what_was_not_covered_closes_nothing_and_is_no_absence_of_drift(small: Stage) -> None:
    profile = small.profile()
    small.capture(profile)
    drift(small, "change_setting", collection="deviceConfigurations", nth=0)
    small.compare(profile)
    small.provider.fault(route="*/deviceConfigurations", times=FOR_EVER, status=403)
    run = small.compare(profile)
    assert_sums(run)
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    told = run.context["baseline_compare"]
    assert told["reason_code"] == "no_drift_in_what_was_covered"
    assert told["evidence_gaps"]["by_reason"] == {"policy_type_not_covered": 5}
    assert (run.counts["resolved"], len(small.findings())) == (0, 1)


def test_two_policies_of_one_name_are_a_gap_and_no_guess(small: Stage) -> None:
    profile = small.profile()
    small.capture(profile)
    name = drift(small, "duplicate_name", nth=2)
    run = small.compare(profile)
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    gaps = run.context["baseline_compare"]["evidence_gaps"]
    assert gaps["by_reason"] == {"ambiguous_match": 1}
    assert name.casefold() in gaps["subjects"][0]
    assert small.findings() == []


def test_a_new_baseline_closes_the_findings_of_the_one_before(small: Stage) -> None:
    profile = small.profile()
    small.capture(profile)
    drift(small, "change_setting", nth=0)
    small.compare(profile)
    assert len(small.findings()) == 1
    small.capture(profile)
    assert small.compare(profile).counts["resolved"] == 1
    assert small.findings() == []


def test_a_compare_that_broke_off_goes_on(known: Stage) -> None:
    profile, run = known.profile(), known.run()
    known.capture(profile)
    planted = drift(known, "change_setting", nth=0)
    known.provider.fault(route="*/$batch", skip=5, times=MAX_TRIES, drop=True)
    with pytest.raises(Unreachable):
        known.compare(profile, run)
    assert known.findings() == []
    known.compare(profile, known.again(run))
    assert [item.name for item in known.findings()] == [planted]


def test_without_settings_a_baseline_of_metadata_finds_what_comes_and_goes(small: Stage) -> None:
    profile = small.profile("settingsCatalog", mode="meta")
    small.capture(profile)
    drift(small, "change_setting", nth=0)
    gone = drift(small, "delete_policy", nth=1)
    run = small.compare(profile)
    assert run.context["baseline_compare"]["fidelity"] == "meta"
    assert [item.name for item in small.findings()] == [gone]
