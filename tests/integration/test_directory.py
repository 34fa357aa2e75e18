"""The directory syncs: groups in full and by delta, roles; what lands, goes, and goes on."""

from __future__ import annotations

import json

import pytest

from lastword.reasons import Blocked, Deferral, Reason
from lastword.states import Outcome
from lastword_jobs.directory.records import group_names
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.graph.waiting import MAX_TRIES
from tests.provider import FOR_EVER, TENANT
from tests.stage import Stage, assert_sums


def alive(stage: Stage, table: str = "group") -> dict[str, str]:
    return {
        row["external_id"]: row["name"] for row in stage.rows(table) if row["deleted_at"] is None
    }


def there(stage: Stage) -> dict[str, str]:
    return {group["id"]: group["displayName"] for group in stage.objects("groups")}


def test_the_first_sync_reads_all_groups_in_three_pages(stage: Stage) -> None:
    run = stage.groups()
    assert_sums(run)
    assert run.counts["created"] == run.counts["items"] == run.counts["total"] == 2000
    assert run.counts["pages"] == 3
    assert alive(stage) == there(stage)
    assert len(stage.asked_by(run)) == 1 + 3
    assert "members" not in str(stage.provider.journal())


def test_the_next_one_reads_what_has_changed_and_nothing_else(stage: Stage) -> None:
    stage.groups()
    stage.provider.drift("rename_group", nth=3)
    stage.provider.drift("delete_group", nth=7)
    run = stage.groups()
    assert_sums(run)
    assert (run.counts["items"], run.counts["updated"], run.counts["deleted"]) == (2, 1, 1)
    assert alive(stage) == there(stage)
    assert len(stage.asked_by(run)) == 1
    assert stage.groups().counts["items"] == 0


def test_a_full_sync_finds_what_is_gone(stage: Stage) -> None:
    stage.groups("full")
    gone = stage.objects("groups").pop(5)
    run = stage.groups("full")
    assert (run.counts["deleted"], run.counts["unchanged"]) == (1, 1999)
    assert gone["id"] not in alive(stage)
    # Known by name for a while: what refers to it can be read.
    assert group_names(stage.ledger, TENANT, [gone["id"]]) == {gone["id"]: gone["displayName"]}


def test_what_changes_during_a_full_sync_is_told_by_the_next(stage: Stage) -> None:
    stage.provider.fault(route="*/groups", skip=1, times=MAX_TRIES, drop=True)
    run = stage.run()
    with pytest.raises(Unreachable):
        stage.groups("full", run)
    renamed = stage.provider.drift("rename_group", nth=0)
    stage.groups("full", stage.again(run))
    assert alive(stage)[renamed["id"]] != there(stage)[renamed["id"]]
    assert stage.groups().counts["updated"] == 1
    assert alive(stage) == there(stage)


def test_a_sync_that_broke_off_goes_on_where_it_stood_and_counts_everything(
    stage: Stage,
) -> None:
    stage.provider.fault(route="*/groups", skip=2, times=MAX_TRIES, drop=True)
    run = stage.run()
    with pytest.raises(Unreachable):
        stage.groups("full", run)
    asked = len(stage.asked_by(run))
    again = stage.again(run)
    stage.groups("full", again)
    assert len(stage.asked_by(run)) == asked + 1
    assert again.counts["items"] == again.counts["created"] == 2000
    assert_sums(again)
    assert alive(stage) == there(stage)


def test_another_run_does_not_go_on_with_a_sync_that_is_not_its_own(stage: Stage) -> None:
    stage.provider.fault(route="*/groups", skip=1, times=MAX_TRIES, drop=True)
    with pytest.raises(Unreachable):
        stage.groups("full")
    assert stage.groups("full").counts["items"] == 2000


def test_a_link_that_the_provider_forgot_means_reading_everything_again(stage: Stage) -> None:
    stage.groups()
    stage.provider.lab("rules", delta_lifetime_s=0.0)
    run = stage.groups()
    assert run.context["resynchronised"] is True
    assert (run.outcome, run.counts["unchanged"]) == (Outcome.SUCCEEDED, 2000)


def test_a_change_that_is_told_twice_is_one(stage: Stage) -> None:
    stage.groups()
    stage.provider.drift("rename_group", nth=3)
    stage.provider.lab("rules", delta_replay=50)
    run = stage.groups()
    assert run.counts["updated"] == 1
    assert alive(stage) == there(stage)


def test_a_group_without_an_id_is_left_out_and_said_so(stage: Stage) -> None:
    stage.groups()
    body = {"value": [{"displayName": "x"}, 7, {"id": "new", "displayName": "\0\ud800"}]}
    stage.provider.fault(route="*/groups", status=200, body=json.dumps(body))
    run = stage.groups("full")
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert (run.counts["failed"], run.counts["created"]) == (2, 1)
    assert_sums(run)


def test_an_unknown_mode_is_refused_before_anything_is_asked(stage: Stage) -> None:
    with pytest.raises(Blocked) as caught:
        stage.groups("sideways")
    assert caught.value.reason is Reason.EXECUTION_PREREQUISITE_INVALID
    assert stage.provider.journal() == []


def test_a_long_wait_is_left_to_the_queue_and_gone_on_with(stage: Stage) -> None:
    stage.provider.fault(route="*/groups", skip=1, status=429, headers={"Retry-After": "90"})
    run = stage.run()
    with pytest.raises(Deferral) as caught:
        stage.groups("full", run)
    assert caught.value.delay_s == 90
    again = stage.again(run)
    stage.groups("full", again)
    assert again.counts["items"] == 2000


def test_roles_land_change_and_vanish(stage: Stage) -> None:
    first = stage.roles()
    assert_sums(first)
    assert first.counts["created"] == first.counts["total"] == 60
    assert sum(row["built_in"] for row in stage.rows("role")) < 60
    assert stage.roles().counts["unchanged"] == 60
    roles = stage.objects("directoryRoleDefinitions")
    roles.pop()
    roles[0]["description"] = "another"
    run = stage.roles()
    assert (run.counts["updated"], run.counts["deleted"]) == (1, 1)
    assert len(alive(stage, "role")) == 59


def test_roles_that_may_not_be_read_block_the_run(stage: Stage) -> None:
    stage.provider.fault(route="*/roleDefinitions", times=FOR_EVER, status=403)
    with pytest.raises(Blocked) as caught:
        stage.roles()
    assert caught.value.reason is Reason.PERMISSION_DENIED


def test_credentials_that_are_refused_block_a_run_that_has_done_nothing(stage: Stage) -> None:
    stage.provider.graph.tokens.client_secret = "another"
    with pytest.raises(Blocked) as caught:
        stage.roles()
    assert caught.value.reason is Reason.AUTHENTICATION_FAILED
