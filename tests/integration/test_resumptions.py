"""What a lost attempt leaves behind: known to the next one, told by it, never done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lastword.states import Outcome
from lastword_jobs.content.normalising import portable_key
from lastword_jobs.graph.errors import DeltaExpired, Unreachable
from lastword_jobs.graph.waiting import MAX_TRIES
from lastword_jobs.restores.preparing import continue_restore
from tests.integration.test_restores import CATALOG, contents, created, known, set_of
from tests.provider import FOR_EVER
from tests.stage import Stage

__all__ = ["known"]


def gone_on_with(stage: Stage, restore_id: str) -> Any:
    more = continue_restore(stage.ledger, restore_id)
    stage.confirm(more)
    return stage.restore(more)


def test_a_create_that_was_done_and_never_answered_is_found_by_the_restore_that_goes_on(
    known: Stage,
) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    # Done, not answered, and not to be seen in any listing while the first restore looks for it.
    known.provider.fault(method="POST", route=f"*/{CATALOG}", after=True, drop=True)
    known.provider.fault(method="GET", route=f"*/{CATALOG}", skip=1, times=MAX_TRIES, drop=True)
    first = known.restore(restore_id)
    assert (first.outcome, first.counts["failed"]) == (Outcome.PARTIALLY_SUCCEEDED, 1)
    assert gone_on_with(known, restore_id).outcome is Outcome.SUCCEEDED
    assert set(created(known).values()) == {1}
    assert len(known.objects(CATALOG)) == 12
    assert contents(known) == before


def test_an_update_that_was_refused_is_written_by_the_restore_that_goes_on(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("change_setting", nth=0)
    restore_id = known.previewed(set_id)
    known.provider.fault(method="PUT", route=f"*/{CATALOG}/*", status=400)
    first = known.restore(restore_id)
    assert first.counts["failed"] == 1
    assert gone_on_with(known, restore_id).outcome is Outcome.SUCCEEDED
    assert contents(known) == before


@pytest.mark.parametrize("body", [{"name": "no id"}, {"id": 7}])
def test_an_answer_to_a_create_that_names_nothing_is_looked_up(
    known: Stage, body: dict[str, Any]
) -> None:
    set_id = set_of(known, "settingsCatalog")
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route=f"*/{CATALOG}", status=201, body=body)
    run = known.restore(restore_id)
    assert (run.outcome, run.counts["created"]) == (Outcome.SUCCEEDED, 12)
    assert len(known.objects(CATALOG)) == 12


def test_what_reads_malformed_after_it_was_written_does_not_end_the_others(known: Stage) -> None:
    set_id = set_of(known, "settingsCatalog")
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(
        method="GET", route=f"*/{CATALOG}/*/assignments", status=200, body={"value": [{"id": "x"}]}
    )
    run = known.restore(restore_id)
    assert (run.outcome, run.counts["failed"]) == (Outcome.PARTIALLY_SUCCEEDED, 1)
    assert run.counts["succeeded"] == 11


def test_a_second_attempt_keeps_the_evidence_of_the_first_whatever_has_changed(
    known: Stage,
) -> None:
    run = known.evidence()
    known.objects("subscribedSkus")[0]["consumedUnits"] += 1
    again = known.evidence(known.again(run))
    assert again.context["evidence"]["snapshot_id"] == run.context["evidence"]["snapshot_id"]
    assert len(known.rows("evidence_snapshot")) == 1


def test_a_second_attempt_keeps_the_review_and_the_pack_of_the_first(
    known: Stage, tmp_path: Path
) -> None:
    known.evidence()
    run = known.review()
    packed = known.pack(tmp_path / "packs")
    known.objects("subscribedSkus")[0]["consumedUnits"] += 1
    known.evidence()
    again = known.review(known.again(run))
    assert again.context["review"]["id"] == run.context["review"]["id"]
    known.review()
    repacked = known.pack(tmp_path / "packs", known.again(packed))
    assert repacked.context["pack"]["id"] == packed.context["pack"]["id"]


def test_a_hidden_value_that_could_not_be_read_is_told_by_the_attempt_that_goes_on(
    known: Stage,
) -> None:
    known.provider.fault(route="*getOma*", status=403)
    known.provider.fault(route="*/$batch", skip=3, times=MAX_TRIES, drop=True)
    run = known.run()
    with pytest.raises(Unreachable):
        known.back_up("deviceConfiguration", "settingsCatalog", "deviceCompliance", run=run)
    again = known.again(run)
    known.back_up("deviceConfiguration", "settingsCatalog", "deviceCompliance", run=again)
    assert again.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert "hidden value" in again.failures[0]["message"]


def test_objects_without_an_id_are_told_by_every_attempt_and_leave_a_snapshot_incomplete(
    known: Stage,
) -> None:
    damaged = {"value": [*known.objects("deviceConfigurations"), {"displayName": "x"}, 7]}
    known.provider.fault(route="*/deviceConfigurations", status=200, body=damaged)
    run = known.capture(known.profile("deviceConfiguration"))
    assert (run.outcome, run.counts["failed"]) == (Outcome.PARTIALLY_SUCCEEDED, 2)
    assert run.context["baseline_capture"]["status"] == "incomplete"
    known.provider.fault(route="*/deviceConfigurations", status=200, body=damaged)
    first = known.policies("deviceConfiguration")
    again = known.again(first)
    known.sync(again).policies(["deviceConfiguration"])
    assert [again.outcome, again.failures] == [first.outcome, first.failures]
    assert again.outcome is Outcome.PARTIALLY_SUCCEEDED


def test_a_provider_that_forgets_even_a_whole_listing_is_not_asked_for_ever(known: Stage) -> None:
    known.provider.fault(route="*/groups", times=FOR_EVER, status=410)
    with pytest.raises(DeltaExpired):
        known.groups("full")
    assert len(known.provider.journal("/groups")) < 10


def test_a_name_that_grows_when_it_is_folded_is_one_subject_all_the_same(known: Stage) -> None:
    known.objects("deviceConfigurations")[0]["displayName"] = "\ufdfa" * 900
    assert len(portable_key("\ufdfa" * 900, "x")) <= 1100
    assert portable_key("\ufdfa" * 900, "x") != portable_key("\ufdfa" * 901, "x")
    profile = known.profile("deviceConfiguration")
    known.capture(profile)
    run = known.compare(profile)
    assert (run.outcome, run.counts["findings"]) == (Outcome.SUCCEEDED, 0)
