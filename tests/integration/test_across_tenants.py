"""From one tenant to another: other ids everywhere, and the same names for what they stand for."""

from __future__ import annotations

import pytest

from lastword.current import CurrentRun
from lastword.service.tenants import add_tenant
from lastword.states import Outcome
from lastword_jobs.baselines.findings import findings_of
from lastword_jobs.restores.preparing import prepare_restore
from lastword_jobs.restores.records import find_restore
from tests.integration.test_restores import known, set_of
from tests.stage import Stage

__all__ = ["known"]

OTHER = "fabrikam"


@pytest.fixture
def two(known: Stage) -> Stage:
    """Two tenants made alike, whose groups are known."""
    add_tenant(known.ledger, tenant_id=OTHER, name="Fabrikam")
    known.provider.lab("seed", tenant=OTHER, size="S")
    known.groups("full", there(known))
    return known


def there(stage: Stage) -> CurrentRun:
    run = stage.run()
    run.tenant_id = OTHER
    return run


def ids(stage: Stage, tenant_id: str, collection: str) -> set[str]:
    return {item["id"] for item in stage.provider.graph.tenants[tenant_id].collections[collection]}


def test_a_tenant_that_is_like_the_baseline_of_another_has_no_finding(two: Stage) -> None:
    assert ids(two, OTHER, "groups").isdisjoint(ids(two, "contoso", "groups"))
    profile = two.profile()
    two.capture(profile)
    run = two.compare(profile, there(two))
    assert (run.outcome, run.counts["findings"], run.counts["total"]) == ("succeeded", 0, 20)
    two.provider.lab("drift", tenant=OTHER, drift="drop_assignment", nth=0)
    two.compare(profile, there(two))
    [finding] = findings_of(two.ledger, OTHER)
    assert (finding.kind, finding.change) == ("policy_assignments", "different")
    assert two.findings() == []


def test_a_reference_that_nobody_can_name_there_is_a_gap_and_no_finding(two: Stage) -> None:
    profile = two.profile()
    two.capture(profile)
    with two.ledger.transaction():
        two.ledger.execute(f"DELETE FROM lastword_jobs_group WHERE tenant_id = '{OTHER}'")
    run = two.compare(profile, there(two))
    gaps = run.context["baseline_compare"]["evidence_gaps"]["by_reason"]
    assert set(gaps) == {"unresolved_reference"}
    assert run.outcome is Outcome.PARTIALLY_SUCCEEDED
    assert findings_of(two.ledger, OTHER) == []


def test_a_backup_of_one_tenant_makes_another_what_it_was(two: Stage) -> None:
    profile = two.profile()
    two.capture(profile)
    set_id = set_of(two)
    two.provider.lab("drift", tenant=OTHER, drift="wipe")
    restore_id = prepare_restore(two.ledger, tenant_id=OTHER, backup_set_id=set_id)
    two.restoring(there(two)).preview(restore_id)
    two.confirm(restore_id)
    restore = find_restore(two.ledger, restore_id)
    assert restore is not None
    run = there(two)
    two.restoring(run).execute(restore_id, str(restore.fingerprint))
    assert (run.outcome, run.failures) == (Outcome.SUCCEEDED, [])
    assert run.counts["created"] == 20
    assert ids(two, OTHER, "configurationPolicies").isdisjoint(
        ids(two, "contoso", "configurationPolicies")
    )
    compared = two.compare(profile, there(two))
    assert (compared.outcome, compared.counts["findings"]) == (Outcome.SUCCEEDED, 0)
    assigned = str(two.provider.graph.tenants[OTHER].assignments)
    assert not [id_ for id_ in ids(two, "contoso", "groups") if id_ in assigned]
