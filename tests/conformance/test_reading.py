"""The read side: freshness by one definition, lists that page, a run in full; on both databases."""

from __future__ import annotations

import pytest

from lastword.errors import LastwordError, UnknownTenant
from lastword.identity import RunId
from lastword.reading.freshness import Freshness, ProblemClass
from lastword.reading.runs import RunFilter, list_runs, show_run
from lastword.reading.tenants import find_tenant, list_tenants
from lastword.reading.workers import list_workers
from lastword.reasons import Reason
from lastword.service.tenants import add_tenant
from lastword.service.values import AttemptEnd, Verdict
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger
from tests.support import Scene

LABELS = {"report.build": "Build report"}


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def one_of_each(scene: Scene) -> dict[str, RunId]:
    """A run in every state that a list tells apart."""
    alive, silent = scene.worker(), scene.worker()
    names = (
        "waiting",
        "waiting too long",
        "working",
        "working too long",
        "lost",
        "succeeded",
        "failed",
        "reconciled",
        "cancelled",
    )
    runs = {name: scene.accept() for name in names}
    for name in ("working", "working too long", "succeeded", "failed", "reconciled"):
        scene.claim(runs[name], alive)
    scene.claim(runs["lost"], silent)
    scene.workers.end(silent)
    for name in ("waiting too long", "working too long", "reconciled"):
        scene.backdate(runs[name], "stale_at", 100)
    scene.runs.finish([AttemptEnd(runs["succeeded"], 1, alive, Outcome.SUCCEEDED)])
    failed = AttemptEnd(runs["failed"], 1, alive, Outcome.FAILED, Reason.RETRIES_EXHAUSTED)
    scene.runs.fail([failed])
    scene.runs.close(
        [Verdict(runs["reconciled"], Status.RUNNING, 1, 1, Reason.STALE_RUNNING, {"a": 1})]
    )
    scene.runs.cancel([runs["cancelled"]], by="ada")
    return runs


FRESHNESS = {
    "waiting": (Freshness.FRESH_ACTIVE, ProblemClass.NONE),
    "waiting too long": (Freshness.LIKELY_STALE, ProblemClass.ACTIVE_STALE_ATTENTION),
    "working": (Freshness.FRESH_ACTIVE, ProblemClass.NONE),
    "working too long": (Freshness.LIKELY_STALE, ProblemClass.ACTIVE_STALE_ATTENTION),
    "lost": (Freshness.LIKELY_STALE, ProblemClass.ACTIVE_STALE_ATTENTION),
    "succeeded": (Freshness.TERMINAL_NORMAL, ProblemClass.NONE),
    "failed": (Freshness.TERMINAL_NORMAL, ProblemClass.TERMINAL_FOLLOW_UP),
    "reconciled": (Freshness.RECONCILED_FAILED, ProblemClass.TERMINAL_FOLLOW_UP),
    "cancelled": (Freshness.TERMINAL_NORMAL, ProblemClass.NONE),
}


def test_every_reader_sees_the_same_freshness(scene: Scene) -> None:
    runs = one_of_each(scene)
    names = {run_id: name for name, run_id in runs.items()}
    listed = list_runs(scene.ledger, RunFilter(), labels=LABELS)
    assert {
        names[row["id"]]: (row["freshness_state"], row["problem_class"]) for row in listed
    } == FRESHNESS
    for name, run_id in runs.items():
        shown = show_run(scene.ledger, run_id, labels=LABELS)
        assert (shown["freshness_state"], shown["problem_class"]) == FRESHNESS[name]
    for freshness in Freshness:
        filtered = list_runs(scene.ledger, RunFilter(freshness_state=freshness), labels=LABELS)
        expected = {name for name, (state, _) in FRESHNESS.items() if state is freshness}
        assert {names[row["id"]] for row in filtered} == expected


def test_a_list_pages_without_missing_or_repeating_a_run(scene: Scene) -> None:
    accepted = {scene.accept() for _ in range(23)}
    seen: list[str] = []
    before = None
    while page := list_runs(scene.ledger, RunFilter(limit=5, before=before), labels=LABELS):
        seen += [row["id"] for row in page]
        before = (scene.row(page[-1]["id"])["created_at"], page[-1]["id"])
    assert len(seen) == 23
    assert set(seen) == accepted


def test_filters_combine(scene: Scene) -> None:
    add_tenant(scene.ledger, tenant_id="t-1", name="One")
    mine = scene.accept(tenant_id="t-1")
    scene.accept()
    wanted = RunFilter(tenant_id="t-1", status="queued", operation="report.build")
    assert [row["id"] for row in list_runs(scene.ledger, wanted, labels=LABELS)] == [mine]
    assert list_runs(scene.ledger, RunFilter(operation="other"), labels=LABELS) == []


def test_a_run_is_shown_with_its_story(scene: Scene) -> None:
    worker_id, run_id = scene.worker(), scene.accept()
    scene.claim(run_id, worker_id)
    scene.runs.finish([AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED, counts={"total": 1})])
    shown = show_run(scene.ledger, run_id, labels=LABELS)
    assert (shown["type_label"], shown["summary_counts"]) == ("Build report", {"total": 1})
    assert [event["kind"] for event in shown["events"]] == ["accepted", "claimed", "completed"]
    assert [attempt["ending"] for attempt in shown["attempts"]] == ["succeeded"]
    assert shown["completed_at"].endswith("Z")


def test_an_operation_nobody_knows_any_more_is_still_listed(scene: Scene) -> None:
    scene.accept()
    [row] = list_runs(scene.ledger, RunFilter(), labels={})
    assert row["type_label"] == "Unknown operation"


def test_a_run_that_is_not_there_is_one_clear_error(scene: Scene) -> None:
    with pytest.raises(LastwordError, match="no run 'x'"):
        show_run(scene.ledger, "x", labels=LABELS)


def test_workers_are_listed_with_the_state_of_their_lease(scene: Scene) -> None:
    alive, silent, stopped = scene.worker(), scene.worker(lease_ttl_s=0), scene.worker()
    scene.workers.end(stopped)
    leases = {row["id"]: row["lease"] for row in list_workers(scene.ledger)}
    assert leases == {alive: "live", silent: "expired", stopped: "ended"}


def test_tenants_are_added_once_and_unknown_ones_are_said_so(ledger: Ledger) -> None:
    assert add_tenant(ledger, tenant_id="t-1", name="One", workspace_id="w-1")
    assert not add_tenant(ledger, tenant_id="t-1", name="Two", workspace_id="w-1")
    assert [tenant.name for tenant in list_tenants(ledger)] == ["One"]
    assert find_tenant(ledger, "t-1").workspace_id == "w-1"
    with pytest.raises(UnknownTenant, match="no tenant 't-2'"):
        find_tenant(ledger, "t-2")
