"""What a restore cannot bring back is left out and said so; what is slow to appear comes."""

from __future__ import annotations

from lastword.states import Outcome
from tests.integration.test_restores import known, set_of
from tests.provider import TENANT
from tests.stage import Stage

__all__ = ["known"]


def test_a_group_that_is_gone_is_left_out_and_said_so(known: Stage) -> None:
    set_id = set_of(known)
    target = known.provider.graph.tenants[TENANT]
    group = next(
        assignment["target"]["groupId"]
        for assignments in target.assignments.values()
        for assignment in assignments
        if assignment["target"].get("groupId")
    )
    known.provider.drift("wipe")
    known.provider.drift("delete_group", id=group)
    known.groups()
    run = known.restore(known.previewed(set_id))
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert "left out ['group (..." in run.failures[0]["message"]
    assert run.counts["failed"] == 0


def test_a_hidden_value_that_is_in_no_backup_is_never_written_as_stars(known: Stage) -> None:
    set_id = set_of(known, "deviceConfiguration", sealed=False)
    known.provider.drift("wipe")
    run = known.restore(known.previewed(set_id))
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert "hidden values are in no backup" in run.failures[0]["message"]
    assert "****" not in known.provider.graph.tenants[TENANT].secrets.values()


def test_what_was_just_made_may_not_be_found_for_a_while(known: Stage) -> None:
    set_id = set_of(known, "settingsCatalog")
    known.provider.drift("wipe")
    restore_id = known.previewed(set_id)
    clock = known.provider.stop_time()
    known.provider.lab("rules", consistency_s=5.0, scale=0)
    run = known.run()
    restoring = known.restoring(run)
    object.__setattr__(restoring.graph.wire, "sleep", clock.wait)
    fingerprint = str(known.rows("restore")[-1]["fingerprint"])
    restoring.execute(restore_id, fingerprint)
    assert (run.outcome, run.counts["created"]) == (Outcome.SUCCEEDED, 12)
