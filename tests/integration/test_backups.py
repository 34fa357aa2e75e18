"""Backups: everything whole in one set for each slot, hidden values sealed, the last ones kept."""

from __future__ import annotations

import json

import pytest

from lastword.errors import InvalidInputs
from lastword.states import Outcome
from lastword_jobs.graph.errors import Unreachable
from lastword_jobs.graph.waiting import MAX_TRIES
from lastword_jobs.restores.preparing import prepare_restore
from tests.integration.test_restores import known
from tests.provider import FOR_EVER, TENANT
from tests.stage import Stage, assert_sums

__all__ = ["known"]


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
