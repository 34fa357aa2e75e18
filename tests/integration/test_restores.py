"""Backups and restores: what was backed up comes back as it was, and nothing is done twice."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from lastword.errors import InvalidInputs
from lastword.legitimacy import Asked
from lastword.reasons import Blocked, Deferral, PermanentFailure, Reason
from lastword.states import Outcome
from lastword_jobs.content.documents import Content
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.restores.executing import require_ready
from lastword_jobs.restores.preparing import confirm_restore, continue_restore, prepare_restore
from tests.provider import FOR_EVER, TENANT
from tests.stage import Stage, assert_sums

CATALOG = "configurationPolicies"


@pytest.fixture
def known(stage: Stage) -> Stage:
    """A small tenant whose groups are known, without limits."""
    stage.provider.lab("seed", tenant=TENANT, size="S")
    stage.provider.lab("rules", scale=0)
    stage.groups("full")
    return stage


def set_of(stage: Stage, *types: str, **options: Any) -> str:
    return str(stage.back_up(*types, **options).context["backup_set_id"])


def contents(stage: Stage) -> dict[tuple[str, str], Content]:
    """What every policy is now, as a fresh capture has it."""
    profile = stage.profile("settingsCatalog", "deviceConfiguration", "deviceCompliance")
    stage.capture(profile)
    captured = stage.rows("baseline_snapshot")[-1]["id"]
    return {
        (row["type"], row["name"]): Content.from_document(json.loads(row["content"]))
        for row in stage.rows("baseline_item")
        if row["snapshot_id"] == captured
    }


def created(stage: Stage) -> Counter[str]:
    """What was made, by name, as the server's own journal and memory have it."""
    made = [entry["created"] for entry in stage.provider.journal() if entry.get("created")]
    names = {
        item["id"]: item.get("name") or item.get("displayName")
        for collection in (CATALOG, "deviceConfigurations", "deviceCompliancePolicies")
        for item in stage.objects(collection)
    }
    return Counter(str(names.get(id_)) for id_ in made)


# Previews


def test_a_preview_says_what_would_be_done_and_writes_nothing(known: Stage) -> None:
    set_id = set_of(known)
    known.provider.drift("change_setting", nth=0)
    known.provider.drift("delete_policy", nth=1)
    before = len(known.provider.journal())
    restore_id = prepare_restore(known.ledger, tenant_id=TENANT, backup_set_id=set_id)
    run = known.run()
    known.restoring(run).preview(restore_id)
    report = run.context["restore"]["preview"]
    assert report == {
        "create": 1,
        "mapped_existing": 8,
        "preview_only": 2,
        "unchanged": 18,
        "update": 1,
    }
    methods = {
        entry["method"]
        for entry in known.provider.journal()[before:]
        if not entry["path"].endswith(("$batch", "/token"))
    }
    assert methods == {"GET"}


def test_nothing_is_done_that_was_not_confirmed_or_is_not_what_was_seen(known: Stage) -> None:
    set_id = set_of(known)
    restore_id = prepare_restore(known.ledger, tenant_id=TENANT, backup_set_id=set_id)
    known.restoring(known.run()).preview(restore_id)
    fingerprint = known.rows("restore")[0]["fingerprint"]

    def denied(**inputs: Any) -> Reason | None:
        asked = Asked("restore.execute", "default", TENANT, None, inputs)
        found = require_ready(known.ledger, known.config, asked)
        return found.reason if found else None

    wrong = Reason.EXECUTION_PREREQUISITE_INVALID
    assert denied(restore_id=restore_id, fingerprint=fingerprint) is wrong
    with pytest.raises(InvalidInputs, match="waits for a word"):
        confirm_restore(known.ledger, restore_id, fingerprint="another", by="ada")
    known.confirm(restore_id)
    assert denied(restore_id=restore_id, fingerprint="another") is wrong
    assert denied(restore_id="another", fingerprint=fingerprint) is wrong
    assert denied(restore_id=restore_id, fingerprint=fingerprint) is None
    assert denied(restore_id=restore_id, dry_run=True) is None
    known.provider.drift("change_setting", nth=0)
    with pytest.raises(Blocked, match="has changed since"):
        known.restore(restore_id)
    assert known.rows("restore")[0]["status"] == "previewed"


# Restores


def test_a_tenant_that_was_wiped_is_what_it_was(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    run = known.restore(known.previewed(set_id))
    assert_sums(run)
    assert (run.outcome, run.failures) == (Outcome.SUCCEEDED, [])
    assert (run.counts["created"], run.counts["skipped"], run.counts["unchanged"]) == (20, 2, 8)
    assert contents(known) == before
    assert set(created(known).values()) == {1}
    secrets = known.provider.graph.tenants[TENANT].secrets
    assert "****" not in secrets.values()


def test_what_has_drifted_is_brought_back_in_its_place(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    ids = {item["id"] for item in known.objects(CATALOG)}
    for nth, drift in enumerate(("change_setting", "change_tags", "add_assignment")):
        known.provider.drift(drift, nth=nth)
    known.provider.drift("change_setting", collection="deviceCompliancePolicies", nth=0)
    known.provider.drift("change_setting", collection="deviceConfigurations", nth=1)
    run = known.restore(known.previewed(set_id))
    assert (run.outcome, run.counts["updated"], run.counts["created"]) == ("succeeded", 5, 0)
    assert contents(known) == before
    assert {item["id"] for item in known.objects(CATALOG)} == ids


def test_a_second_restore_of_the_same_set_has_nothing_to_do(known: Stage) -> None:
    set_id = set_of(known)
    known.provider.drift("wipe")
    known.restore(known.previewed(set_id))
    writes = [entry for entry in known.provider.journal() if entry.get("created")]
    run = known.restore(known.previewed(set_id))
    assert (run.outcome, run.counts["created"], run.counts["updated"]) == ("succeeded", 0, 0)
    assert [e for e in known.provider.journal() if e.get("created")] == writes


@pytest.mark.parametrize("harm", [{"drop": True}, {"like": "504_html"}])
def test_a_create_of_which_nobody_knows_is_looked_up_and_not_repeated(
    known: Stage, harm: dict[str, Any]
) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route=f"*/{CATALOG}", after=True, times=2, **harm)
    run = known.restore(restore_id)
    assert (run.outcome, run.counts["created"]) == (Outcome.SUCCEEDED, 20)
    assert contents(known) == before
    assert len(known.objects(CATALOG)) == 12


def test_a_create_that_never_arrived_is_sent_again(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route=f"*/{CATALOG}", drop=True)
    assert known.restore(restore_id).counts["created"] == 20
    assert contents(known) == before


def test_when_two_may_be_the_one_that_was_made_a_person_has_to_look(known: Stage) -> None:
    set_id = set_of(known, "settingsCatalog")
    name = known.objects(CATALOG)[0]["name"]
    known.provider.drift("duplicate_name", nth=0)
    twice = [item for item in known.objects(CATALOG) if item["name"] == name]
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route=f"*/{CATALOG}", drop=True)
    known.objects(CATALOG).extend(twice)
    # What somebody else made meanwhile; the check before the first write is past.
    run = known.run()
    with known.ledger.transaction():
        known.ledger.execute(
            f"UPDATE lastword_jobs_restore SET status = 'running', run_id = '{run.run_id}'"
        )
        known.ledger.execute("UPDATE lastword_jobs_restore_item SET state = 'create_sent'")
    known.restoring(run).execute(restore_id, "")
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    [item] = [item for item in known.items(restore_id) if item.state == "needs_review"]
    assert item.name == name
    assert len([item for item in known.objects(CATALOG) if item["name"] == name]) == 2


def test_what_was_made_and_not_assigned_is_told_and_only_assigned_later(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route="*/assign", skip=3, status=400)
    run = known.restore(restore_id)
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert (run.counts["failed"], run.counts["created"]) == (1, 19)
    assert_sums(run)
    [item] = [item for item in known.items(restore_id) if item.state == "failed"]
    assert item.target_id is not None
    more = continue_restore(known.ledger, restore_id)
    known.confirm(more)
    again = known.restore(more)
    assert (again.outcome, again.counts["created"]) == (Outcome.SUCCEEDED, 20)
    assert contents(known) == before
    assert set(created(known).values()) == {1}


def test_a_restore_that_was_lost_is_gone_on_with_by_another(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(route="*", skip=70, times=FOR_EVER, drop=True)
    with pytest.raises(Unreachable):
        known.restore(restore_id)
    known.provider.lab("reset")
    known.provider.lab("rules", scale=0)
    # As its reconciler does once the run has ended.
    with known.ledger.transaction():
        known.ledger.execute(
            "UPDATE lastword_jobs_restore SET status = 'failed', ended_at = 1, "
            "reason = 'worker_lost'"
        )
    more = continue_restore(known.ledger, restore_id)
    known.confirm(more)
    run = known.restore(more)
    assert run.outcome is Outcome.SUCCEEDED
    assert contents(known) == before
    assert len(known.objects(CATALOG)) == 12


def test_a_restore_that_has_to_wait_goes_on_with_its_next_item(known: Stage) -> None:
    before, set_id = contents(known), set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(
        method="POST", route="*/assign", skip=5, status=429, headers={"Retry-After": "60"}
    )
    run = known.run()
    with pytest.raises(Deferral):
        known.restore(restore_id, run)
    known.restore(restore_id, known.again(run))
    assert contents(known) == before
    assert set(created(known).values()) == {1}


def test_a_policy_that_is_refused_does_not_keep_the_others_back(known: Stage) -> None:
    set_id = set_of(known)
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route=f"*/{CATALOG}", like="400_invalid_property")
    run = known.restore(restore_id)
    assert (run.outcome, run.counts["failed"]) == (Outcome.PARTIALLY_SUCCEEDED, 1)
    assert run.failures[0]["code"] == "invalid_state"
    assert_sums(run)


def test_when_nothing_can_be_written_the_restore_fails(known: Stage) -> None:
    set_id = set_of(known, "deviceConfiguration")
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    known.provider.fault(method="POST", route="*/deviceConfigurations", times=9, status=403)
    with pytest.raises(PermanentFailure) as caught:
        known.restore(restore_id)
    assert caught.value.reason is Reason.PERMISSION_DENIED
    assert known.rows("restore")[-1]["status"] == "failed"
