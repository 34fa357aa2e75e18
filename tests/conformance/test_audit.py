"""The audit log and notifications: written with what they tell of, and by nothing else changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import peewee
import pytest

from lastword.access import Role
from lastword.application import Application
from lastword.config import Config
from lastword.errors import LedgerUnavailable
from lastword.legitimacy import Gate
from lastword.reading.audit import AuditFilter, list_audit, walk_audit
from lastword.reading.viewers import Scope
from lastword.reasons import Reason
from lastword.repeating import repeat_run
from lastword.service.api_tokens import new_token, revoke_token
from lastword.service.audit import Actor, ActorKind, Entry, write_audit
from lastword.service.members import add_user, disable_user, grant, revoke, set_overseer
from lastword.service.sessions import end_session, open_session
from lastword.service.tenants import (
    add_tenant,
    remove_tenant,
    resume_tenant,
    set_writable,
    suspend_tenant,
)
from lastword.service.values import AttemptEnd, Verdict
from lastword.starting import start_in
from lastword.states import Outcome, Source, Status
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.records import add_profile
from lastword_jobs.provider.connections import connect_tenant
from lastword_jobs.provider.sealing import Sealer
from tests.support import POLICIES, Scene, Silent

ADA = Actor(ActorKind.PERSON, "Ada", "ada", "request-1")

KEY = "0123456789abcdef" * 2


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    add_tenant(ledger, tenant_id="n1", name="N1", workspace_id="north")
    add_user(ledger, user_id="ada", name="Ada")
    grant(ledger, user_id="ada", workspace_id="north", role=Role.OWNER)
    return Scene(ledger)


@contextmanager
def unwritable(ledger: Ledger) -> Iterator[None]:
    """The audit log takes no entry."""
    postgres = ledger.dialect.param == "%s"
    with ledger.transaction():
        if postgres:
            ledger.execute(
                "CREATE FUNCTION no_entry() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN RAISE EXCEPTION ''no entry''; END'"
            )
            ledger.execute(
                "CREATE TRIGGER no_entry BEFORE INSERT ON lastword_audit "
                "FOR EACH ROW EXECUTE FUNCTION no_entry()"
            )
        else:
            ledger.execute(
                "CREATE TRIGGER no_entry BEFORE INSERT ON lastword_audit "
                "BEGIN SELECT RAISE(ABORT, 'no entry'); END"
            )
    try:
        yield
    finally:
        with ledger.transaction():
            ledger.execute("DROP TRIGGER no_entry" + (" ON lastword_audit" if postgres else ""))
            if postgres:
                ledger.execute("DROP FUNCTION no_entry()")


def actions(ledger: Ledger, **wanted: Any) -> list[tuple[str, str, str]]:
    """Who did what to which, the latest first."""
    return [
        (entry["actor_name"], entry["action"], entry["target_id"])
        for entry in list_audit(ledger, AuditFilter(**wanted))
    ]


def everything(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """What the ledger holds, but for the audit log."""
    names = ("user", "membership", "tenant", "run", "event", "session", "api_token", "notification")
    with ledger.session():
        return {name: ledger.execute(f"SELECT * FROM lastword_{name}") for name in names}


def started(ledger: Ledger, operation: str, initiator: str | None = None, **more: Any) -> Any:
    config = Config(policies=POLICIES)
    application = Application(config, ledger, ledger, Silent(), Gate(config))
    return start_in(application, operation, inputs={}, tenant="n1", initiator=initiator, **more)


CHANGES: dict[str, Callable[[Ledger], object]] = {
    "user.add": lambda ledger: add_user(ledger, user_id="eve", name="Eve", actor=ADA),
    "user.disable": lambda ledger: disable_user(ledger, "ada", actor=ADA),
    "user.oversee": lambda ledger: set_overseer(ledger, "ada", oversees=True, actor=ADA),
    "member.grant": lambda ledger: grant(
        ledger, user_id="ada", workspace_id="north", role=Role.VIEWER, actor=ADA
    ),
    "member.revoke": lambda ledger: revoke(ledger, user_id="ada", workspace_id="north", actor=ADA),
    "tenant.add": lambda ledger: add_tenant(ledger, tenant_id="n2", name="N2", actor=ADA),
    "tenant.open_for_writing": lambda ledger: set_writable(ledger, "n1", writable=True, actor=ADA),
    "tenant.close_for_writing": lambda ledger: set_writable(
        ledger, "n1", writable=False, actor=ADA
    ),
    "tenant.suspend": lambda ledger: suspend_tenant(ledger, "n1", actor=ADA),
    "tenant.resume": lambda ledger: resume_tenant(ledger, "n1", actor=ADA),
    "tenant.remove": lambda ledger: remove_tenant(ledger, "n1", actor=ADA),
    "tenant.connect": lambda ledger: connect_tenant(
        ledger,
        Sealer.of(Config(secret_key=KEY)),
        tenant_id="n1",
        client_id="app",
        secret="s3cret-of-it",
        actor=ADA,
    ),
    "baseline.add": lambda ledger: add_profile(
        ledger, workspace_id="north", name="P", types=["deviceCompliance"], actor=ADA
    ),
    "session.open": lambda ledger: open_session(
        ledger, user_id="ada", method="link", lifetime_s=60, actor=ADA
    ),
    "token.add": lambda ledger: new_token(
        ledger, user_id="ada", name="t", scopes=["operations.view"], days=1, actor=ADA
    ),
    "run.start": lambda ledger: started(ledger, "report.build", initiator="ada", actor=ADA),
}


#: Changes of what was so already, or of tables that `everything` does not look into.
UNSEEN = ("tenant.resume", "tenant.close_for_writing", "tenant.connect", "baseline.add")


@pytest.mark.parametrize("action", CHANGES)
def test_a_change_leaves_one_entry_and_is_not_made_without_it(scene: Scene, action: str) -> None:
    before = everything(scene.ledger)
    with unwritable(scene.ledger), pytest.raises((peewee.PeeweeException, LedgerUnavailable)):
        CHANGES[action](scene.ledger)
    assert everything(scene.ledger) == before
    CHANGES[action](scene.ledger)
    if action not in UNSEEN:
        assert everything(scene.ledger) != before
    [entry] = list_audit(scene.ledger, AuditFilter(actor_kind="person"))
    assert (entry["action"], entry["actor_id"], entry["request_id"], entry["result"]) == (
        action,
        "ada",
        "request-1",
        "done",
    )
    assert "s3cret" not in str(entry)


def test_an_entry_is_never_changed_and_never_removed(scene: Scene) -> None:
    write_audit(scene.ledger, ADA, [Entry("run.cancel", "run", "r")])
    before = list_audit(scene.ledger, AuditFilter())
    for statement in (
        "UPDATE lastword_audit SET actor_id = 'eve'",
        "DELETE FROM lastword_audit",
    ):
        with pytest.raises(peewee.PeeweeException, match="append-only"), scene.ledger.transaction():
            scene.ledger.execute(statement)
    assert list_audit(scene.ledger, AuditFilter()) == before


def test_the_entry_says_what_was_so_before_and_after(scene: Scene) -> None:
    grant(
        scene.ledger,
        user_id="ada",
        workspace_id="north",
        role=Role.VIEWER,
        tenants=["n1"],
        actor=ADA,
    )
    [entry] = list_audit(scene.ledger, AuditFilter(action="member.grant", actor_id="ada"))
    assert entry["before"] == {"role": "owner", "tenants": None}
    assert entry["after"] == {"role": "viewer", "tenants": ["n1"]}
    assert (entry["workspace_id"], entry["target_id"]) == ("north", "ada")


@pytest.mark.parametrize(
    ("source", "name"), [(Source.GENERIC, "Generic reconciler"), (Source.SENTINEL, "Sentinel")]
)
def test_reconcilers_are_actors(scene: Scene, source: Source, name: str) -> None:
    worker = scene.worker()
    run = scene.accept(tenant_id="n1", workspace_id="north")
    scene.claim(run, worker)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
    verdict = Verdict(run, Status.RUNNING, 1, 1, Reason.WORKER_LOST, {}, source=source)
    with unwritable(scene.ledger), pytest.raises((peewee.PeeweeException, LedgerUnavailable)):
        scene.runs.close([verdict])
    assert scene.row(run)["status"] == "running"
    scene.runs.close([verdict])
    [entry] = list_audit(scene.ledger, AuditFilter(actor_kind="reconciler"))
    assert (entry["actor_name"], entry["action"], entry["run_id"]) == (name, "run.close", run)
    assert entry["reason"] == "worker_lost"
    assert entry["after"] == {"status": "completed", "outcome": "failed"}


def test_a_run_that_is_sent_again_is_in_the_log_too(scene: Scene) -> None:
    worker = scene.worker()
    run = scene.accept(tenant_id="n1", workspace_id="north")
    scene.claim(run, worker)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
    scene.recover(run)
    assert actions(scene.ledger, run_id=run) == [("Generic reconciler", "run.redispatch", run)]


def test_what_workers_and_applications_do_by_themselves_is_not_in_the_log(scene: Scene) -> None:
    before = actions(scene.ledger)
    worker = scene.worker()
    run = started(scene.ledger, "report.build").run_id
    scene.claim(run, worker)
    scene.runs.finish([AttemptEnd(run, 1, worker, Outcome.SUCCEEDED)])
    assert actions(scene.ledger) == before


def test_a_start_that_the_gate_refuses_is_denied_in_the_log(scene: Scene) -> None:
    suspend_tenant(scene.ledger, "n1")
    run = started(scene.ledger, "report.build", initiator="ada").run_id
    [entry] = list_audit(scene.ledger, AuditFilter(run_id=run))
    assert (entry["action"], entry["result"], entry["reason"], entry["actor_id"]) == (
        "run.start",
        "denied",
        "tenant_not_operable",
        "ada",
    )


def test_cancelling_and_repeating_name_who_wanted_it_and_why(scene: Scene) -> None:
    run = scene.accept(tenant_id="n1", workspace_id="north")
    scene.runs.cancel([run], by="Ada", actor=ADA, because="wrong tenant")
    repeat_run(scene.ledger, run, actor=ADA, because="it was right")
    first, second = list_audit(scene.ledger, AuditFilter(run_id=run))
    assert (second["action"], second["after"]["because"]) == ("run.cancel", "wrong tenant")
    assert (first["action"], first["after"]["because"]) == ("run.repeat", "it was right")


def test_sessions_and_tokens_that_end_are_in_the_log(scene: Scene) -> None:
    open_session(scene.ledger, user_id="ada", method="link", lifetime_s=60, actor=ADA)
    new_token(scene.ledger, user_id="ada", name="t", scopes=["operations.view"], days=1, actor=ADA)
    with scene.ledger.session():
        [session] = scene.ledger.execute("SELECT id FROM lastword_session")
        [token] = scene.ledger.execute("SELECT id FROM lastword_api_token")
    assert end_session(scene.ledger, session["id"], user_id="ada", actor=ADA)
    assert not end_session(scene.ledger, session["id"], user_id="ada", actor=ADA)
    assert revoke_token(scene.ledger, token["id"], user_id="ada", actor=ADA)
    ended = [action for _, action, _ in actions(scene.ledger, actor_id="ada")]
    assert ended == ["token.revoke", "session.end", "token.add", "session.open"]


def test_the_log_is_read_in_scope_and_page_by_page(scene: Scene) -> None:
    for number in range(250):
        entry = Entry("run.cancel", "run", str(number), workspace_id="north", tenant_id="n1")
        foreign = replace(entry, workspace_id="south", tenant_id="s1")
        write_audit(scene.ledger, ADA, [entry, foreign])
    scopes = (Scope("north", Role.OWNER, tenants=("n1",)),)
    wanted = AuditFilter(scopes=scopes, action="run.cancel", limit=100)
    pages = list(walk_audit(scene.ledger, wanted))
    assert [len(page) for page in pages] == [100, 100, 50]
    seen = [entry["target_id"] for page in pages for entry in page]
    assert seen == [str(number) for number in reversed(range(250))]
    assert list_audit(scene.ledger, AuditFilter(scopes=())) == []
