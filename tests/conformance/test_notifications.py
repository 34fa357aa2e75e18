"""Notifications: one, to the initiator, when the run has ended; and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from lastword.access import Role
from lastword.reading.notifications import count_unread, list_notifications
from lastword.reading.viewers import Scope
from lastword.reasons import Reason
from lastword.service import RunService
from lastword.service.notifying import mark_read
from lastword.service.requests import Denial
from lastword.service.tenants import (
    suspend_tenant,
)
from lastword.service.values import AttemptEnd, Barred, Verdict
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger
from tests.conformance.test_audit import scene as scene
from tests.conformance.test_audit import started
from tests.support import Scene

SCOPES = (Scope("north", Role.VIEWER),)


def told(ledger: Ledger, user: str = "ada") -> list[tuple[str, str]]:
    return [
        (note["run_id"], note["outcome"])
        for note in list_notifications(ledger, user, scopes=SCOPES, labels={})
    ]


def test_the_initiator_is_told_once_when_the_run_has_ended_and_never_before(scene: Scene) -> None:
    """I10."""
    worker = scene.worker()
    run = scene.accept(tenant_id="n1", workspace_id="north", initiator_id="ada")
    assert told(scene.ledger) == []
    scene.claim(run, worker)
    assert told(scene.ledger) == []
    end = AttemptEnd(run, 1, worker, Outcome.SUCCEEDED)
    for _ in range(2):
        scene.runs.finish([end])
    assert told(scene.ledger) == [(run, "succeeded")]
    assert count_unread(scene.ledger, "ada", scopes=SCOPES) == 1
    assert mark_read(scene.ledger, "ada", run) == 1
    assert mark_read(scene.ledger, "ada", run) == 0
    assert count_unread(scene.ledger, "ada", scopes=SCOPES) == 0


@pytest.mark.parametrize("ended_by", ["reconciler", "operator", "start", "gate"])
def test_whoever_ends_a_run_its_initiator_is_told(scene: Scene, ended_by: str) -> None:
    fields: dict[str, Any] = {
        "tenant_id": "n1",
        "workspace_id": "north",
        "initiator_id": "ada",
    }
    if ended_by == "start":
        suspend_tenant(scene.ledger, "n1")
        run = started(scene.ledger, "report.build", initiator="ada").run_id
    else:
        run = scene.accept(**fields)
    if ended_by == "operator":
        scene.runs.cancel([run], by="Bob")
    if ended_by == "gate":
        denial = Denial(Reason.TENANT_MISSING, "gone")
        RunService(scene.ledger).block([Barred(run, 1, None, denial)])
    if ended_by == "reconciler":
        worker = scene.worker()
        scene.claim(run, worker)
        with scene.ledger.transaction():
            scene.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
        scene.runs.close([Verdict(run, Status.RUNNING, 1, 1, Reason.WORKER_LOST, {})])
    [(told_of, _)] = told(scene.ledger)
    assert told_of == run


def test_nobody_is_told_of_runs_of_the_system_or_of_a_person_nobody_knows(scene: Scene) -> None:
    for initiator in (None, "nobody"):
        run = scene.accept(tenant_id="n1", workspace_id="north", initiator_id=initiator)
        scene.runs.cancel([run], by="Bob")
    with scene.ledger.session():
        assert scene.ledger.execute("SELECT * FROM lastword_notification") == []


def test_notifications_go_with_their_runs_and_with_the_right_to_see_them(scene: Scene) -> None:
    run = scene.accept(tenant_id="n1", workspace_id="north", initiator_id="ada")
    scene.runs.cancel([run], by="Bob")
    assert count_unread(scene.ledger, "ada", scopes=()) == 0
    assert list_notifications(scene.ledger, "ada", scopes=(), labels={}) == []
    assert told(scene.ledger) == [(run, "cancelled")]
    with scene.ledger.transaction():
        scene.ledger.execute("DELETE FROM lastword_run")
        assert scene.ledger.execute("SELECT * FROM lastword_notification") == []
