"""The gate at work: at the start, and in a worker, before the actor has had any effect."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq
import pytest
from dramatiq.broker import Broker

from lastword import Blocked, Deferral, Reason, TransientFailure, current_run, start
from lastword.access import Role
from lastword.service.members import add_user, disable_user, grant, revoke
from lastword.service.tenants import add_tenant, remove_tenant, set_writable, suspend_tenant
from lastword.service.values import Delivery
from lastword.storage.ledger import Ledger
from tests.support import Scene
from tests.workers import StartWorker

Change = Callable[[Ledger], bool]


@pytest.fixture
def tenant(scene: Scene) -> str:
    add_tenant(scene.ledger, tenant_id="contoso", name="Contoso", workspace_id="acme")
    add_user(scene.ledger, user_id="ada", name="Ada")
    grant(scene.ledger, user_id="ada", workspace_id="acme", role=Role.OPERATOR)
    return "contoso"


@pytest.fixture
def calls(broker: Broker) -> list[str]:
    calls: list[str] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        calls.append(current_run().run_id)

    return calls


def ended(scene: Scene, run_id: str) -> tuple[str, str | None, str]:
    row = scene.completed(run_id)
    return row["outcome"], row["reason"], row["closed_by"]


def test_a_member_who_may_starts_a_run_and_it_is_done(
    scene: Scene, tenant: str, calls: list[str], start_worker: StartWorker
) -> None:
    started = start("report.build", tenant=tenant, initiator="ada")
    assert started.result == "accepted"
    start_worker()
    assert ended(scene, started.run_id) == ("succeeded", None, "worker")
    row = scene.row(started.run_id)
    assert (row["initiator_id"], row["workspace_id"]) == ("ada", "acme")


@pytest.mark.parametrize("person", ["bob", "eve"])
def test_who_may_not_gets_a_run_that_says_why(
    scene: Scene, tenant: str, calls: list[str], person: str
) -> None:
    add_user(scene.ledger, user_id="eve", name="Eve")
    started = start("report.build", tenant=tenant, initiator=person)
    assert started.result == "blocked"
    why = {"bob": "initiator_missing", "eve": "initiator_not_entitled"}[person]
    assert ended(scene, started.run_id) == ("blocked", why, "start")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda ledger: revoke(ledger, user_id="ada", workspace_id="acme"), "initiator_not_"),
        (lambda ledger: disable_user(ledger, "ada"), "initiator_not_entitled"),
        (lambda ledger: suspend_tenant(ledger, "contoso"), "tenant_not_operable"),
        (lambda ledger: remove_tenant(ledger, "contoso"), "tenant_missing"),
    ],
)
def test_what_is_allowed_no_more_when_its_turn_comes_is_not_executed(
    scene: Scene, tenant: str, calls: list[str], start_worker: StartWorker, change: Change, why: str
) -> None:
    started = start("report.build", tenant=tenant, initiator="ada")
    assert change(scene.ledger)
    start_worker()
    outcome, reason, closed_by = ended(scene, started.run_id)
    assert (outcome, closed_by, scene.row(started.run_id)["attempt"]) == ("blocked", "gate", 0)
    assert reason is not None
    assert reason.startswith(why)
    assert calls == []


def test_what_was_begun_and_is_allowed_no_more_has_failed_and_was_not_refused(
    scene: Scene, tenant: str, broker: Broker, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        revoke(scene.ledger, user_id="ada", workspace_id="acme")
        raise TransientFailure(Reason.THROTTLED)

    started = start("report.build", tenant=tenant, initiator="ada")
    start_worker()
    assert ended(scene, started.run_id) == ("failed", "initiator_not_entitled", "bridge")
    assert scene.row(started.run_id)["attempt"] == 1


def test_what_may_have_been_begun_unseen_and_is_allowed_no_more_has_failed(
    scene: Scene, tenant: str, calls: list[str], start_worker: StartWorker
) -> None:
    # Who had it in hand may have begun, and died before that was written.
    started = start("report.build", tenant=tenant, initiator="ada")
    gone = scene.worker()
    [held] = scene.runs.reserve([Delivery(started.run_id, 1)], worker_id=gone)
    assert held.refusal is None
    scene.workers.lose(gone, cause={})
    assert revoke(scene.ledger, user_id="ada", workspace_id="acme")
    start_worker()
    assert ended(scene, started.run_id) == ("failed", "initiator_not_entitled", "bridge")
    assert calls == []


def test_the_write_gate_is_closed_until_it_is_opened(
    scene: Scene, tenant: str, broker: Broker, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.writes", broker=broker)
    def write() -> None: ...

    refused = start("report.writes", tenant=tenant)
    assert ended(scene, refused.run_id) == ("blocked", "write_gate_blocked", "start")
    set_writable(scene.ledger, tenant, writable=True)
    started = start("report.writes", tenant=tenant)
    start_worker()
    assert ended(scene, started.run_id)[0] == "succeeded"


def test_two_runs_of_one_scope_do_not_run_beside_each_other(
    scene: Scene, tenant: str, broker: Broker
) -> None:
    @dramatiq.actor(operation="report.writes", broker=broker)
    def write(number: int) -> None: ...

    set_writable(scene.ledger, tenant, writable=True)
    first = start("report.writes", tenant=tenant, inputs={"number": 1})
    second = start("report.writes", tenant=tenant, inputs={"number": 2})
    assert (second.result, second.run_id) == ("scope_busy", first.run_id)


def test_an_actor_that_finds_that_it_may_not_ends_its_run_as_blocked(
    scene: Scene, broker: Broker, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        raise Blocked(Reason.AUTHENTICATION_FAILED, "No token.")

    message = build.send()
    start_worker()
    assert ended(scene, message.message_id) == ("blocked", "authentication_failed", "worker")
    assert scene.row(message.message_id)["attempt"] == 1


def test_an_actor_that_puts_its_work_off_goes_on_later_and_spends_no_try(
    scene: Scene, broker: Broker, start_worker: StartWorker
) -> None:
    seen: list[dict[str, int]] = []

    @dramatiq.actor(operation="report.waits", broker=broker)
    def build() -> None:
        run = current_run()
        seen.append(run.context)
        if run.attempt < 4:
            run.remember(page=run.attempt)
            raise Deferral(0.05, Reason.THROTTLED)

    message = build.send()
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"], row["retries"]) == ("succeeded", 4, 0)
    assert seen == [{}, {"page": 1}, {"page": 2}, {"page": 3}]
    assert scene.kinds(message.message_id) == [
        "accepted",
        *["claimed", "deferred"] * 3,
        *["claimed", "completed"],
    ]


def test_a_run_that_has_waited_long_enough_fails_with_what_it_waited_for(
    scene: Scene, broker: Broker, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.waits", broker=broker)
    def build() -> None:
        raise Deferral(1000.0, Reason.THROTTLED, "Told to wait for 1000 s.")

    message = build.send()
    start_worker()
    assert ended(scene, message.message_id) == ("failed", "throttled", "bridge")
