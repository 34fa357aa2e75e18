"""Backups: everything whole in one set for each slot, hidden values sealed, the last ones kept."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from lastword.errors import InvalidInputs
from lastword.states import Outcome
from lastword_jobs.content.documents import Content
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.graph.waiting import MAX_TRIES
from lastword_jobs.restores.records import prepare_restore
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


# Backups


def test_a_backup_holds_everything_whole_and_brings_the_policies_up_to_date(known: Stage) -> None:
    run = known.back_up()
    assert_sums(run)
    assert (run.outcome, run.counts["failed"]) == (Outcome.SUCCEEDED, 0)
    assert run.counts["items"] == run.counts["total"] == 20 + 2 + 2 + 2 + 3 + 1
    assert run.counts["bytes"] > 10_000
    assert len(known.seen()) == 22
    [found] = known.rows("backup_set")
    assert (found["status"], found["run_id"]) == ("succeeded", run.run_id)


def test_hidden_values_are_sealed_and_in_no_record_in_plain_text(known: Stage) -> None:
    known.back_up("deviceConfiguration")
    [plain] = set(known.provider.graph.tenants[TENANT].secrets.values())
    text = json.dumps([known.rows(table) for table in ("collected", "version", "backup_set")])
    assert plain not in text
    assert any(row["secrets"] for row in known.rows("collected"))


def test_a_slot_has_one_set_however_often_it_is_tried(known: Stage) -> None:
    run = known.run(schedule_id="nightly", slot="2026-03-01T02:00:00Z")
    known.provider.fault(route="*/$batch", skip=2, times=MAX_TRIES, drop=True)
    with pytest.raises(Unreachable):
        known.back_up(run=run)
    read = len(known.asked_by(run))
    again = known.again(run)
    known.back_up(run=again)
    assert again.counts["items"] == 30
    assert len(known.rows("backup_set")) == 1
    assert len(known.asked_by(run)) - read < read + 30


def test_only_the_last_sets_of_a_schedule_are_kept(known: Stage) -> None:
    for day in range(1, 5):
        slot = f"2026-03-0{day}T02:00:00Z"
        known.back_up("roleScopeTag", run=known.run(schedule_id="n", slot=slot), keep=2)
    rows = sorted(known.rows("backup_set"), key=lambda row: str(row["slot"]))
    assert [row["deleted_at"] is not None for row in rows] == [True, True, False, False]
    with pytest.raises(InvalidInputs, match="deleted"):
        prepare_restore(known.ledger, tenant_id=TENANT, backup_set_id=rows[0]["id"])


def test_a_backup_of_which_a_type_is_refused_is_one_in_part(known: Stage) -> None:
    known.provider.fault(route="*/roleDefinitions", times=FOR_EVER, status=403)
    run = known.back_up()
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert known.rows("backup_set")[0]["status"] == "partially_succeeded"
    assert_sums(run)
