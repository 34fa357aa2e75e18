"""Two workspaces that know nothing of each other, with people, tenants, runs and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from peewee import SQL
from starlette.testclient import TestClient

from lastword.access import Role
from lastword.application import Application
from lastword.config import Config, load_config
from lastword.errors import LastwordError
from lastword.identity import RunId, WorkerId, new_run_id
from lastword.policy import Policy
from lastword.reasons import Reason
from lastword.service import RunService
from lastword.service.members import add_user, grant, set_overseer
from lastword.service.requests import Denial, NewRun
from lastword.service.sessions import new_link
from lastword.service.tenants import add_tenant
from lastword.service.values import AttemptEnd, Verdict
from lastword.states import Outcome, Status
from lastword.storage.ledger import Ledger
from lastword.web.app import create_app
from lastword_jobs.backups import BackupSet, RecordStatus, Restore
from lastword_jobs.reviews.records import EvidenceSnapshot, Pack, Review
from tests.support import Scene

OWN, FOREIGN = "north", "south"
OWN_TENANT, OTHER_TENANT, FOREIGN_TENANT = "n1", "n2", "s1"

#: What people call them; the foreign one by a word that stands nowhere by chance.
NAMES = {OWN_TENANT: "N1", OTHER_TENANT: "N2", FOREIGN_TENANT: "Southwind Traders"}

#: What a browser says of a form of our own.
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}

ORIGIN = "http://127.0.0.1:8000"

SHIPPED = load_config({}).policies


def no_application() -> Application:
    raise LastwordError("nothing is started in this test")


@dataclass
class World:
    """A ledger with two workspaces, and the web over it."""

    ledger: Ledger
    config: Config
    client: TestClient
    scene: Scene

    def person(
        self, name: str, role: Role | None = None, *, workspace: str = OWN, tenants: Any = None
    ) -> str:
        add_user(self.ledger, user_id=name, name=name.title())
        if role is not None:
            grant(self.ledger, user_id=name, workspace_id=workspace, role=role, tenants=tenants)
        return name

    def overseer(self, name: str = "olga") -> str:
        add_user(self.ledger, user_id=name, name=name.title())
        set_overseer(self.ledger, name, oversees=True)
        return name

    def sign_in(self, name: str) -> None:
        """From here on the client is this person's browser."""
        self.sign_out()
        token = new_link(self.ledger, name)
        answer = self.post("/admin/sign-in/link", token=token)
        assert answer.status_code == 303, answer.text

    def be(self, name: str) -> None:
        """Signed in as this person; anew if what was asked before has ended the session."""
        if not self.client.cookies:
            self.sign_in(name)

    def sign_out(self) -> None:
        self.client.cookies.clear()

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers, follow_redirects=False)

    def post(self, path: str, **form: Any) -> Any:
        return self.client.post(path, data=form, headers=SAME_ORIGIN, follow_redirects=False)

    def run(
        self,
        operation: str = "policy.sync",
        *,
        tenant: str | None = OWN_TENANT,
        workspace: str | None = OWN,
        **more: Any,
    ) -> RunId:
        """A queued run."""
        new = self.request(operation, tenant=tenant, workspace=workspace, **more)
        [accepted] = RunService(self.ledger).accept([new])
        return accepted.run_id

    def request(
        self,
        operation: str = "policy.sync",
        *,
        tenant: str | None = OWN_TENANT,
        workspace: str | None = OWN,
        **more: Any,
    ) -> NewRun:
        policy: Policy = SHIPPED[operation]
        run_id = new_run_id()
        return NewRun(
            run_id=run_id,
            policy=policy,
            actor_name="work",
            payload="{}",
            tenant_id=tenant,
            workspace_id=workspace,
            **more,
        )

    def blocked(self, **more: Any) -> RunId:
        new = self.request(**more)
        denial = Denial(Reason.WRITE_GATE_BLOCKED, "Writing is closed.", ({"label": "Open it"},))
        RunService(self.ledger).refuse([replace(new, denial=denial)])
        return new.run_id

    def running(self, worker: str | None = None, **more: Any) -> RunId:
        run_id = self.run(**more)
        self.scene.claim(run_id, WorkerId(worker or self.scene.worker()))
        return run_id

    def ended(
        self, outcome: Outcome = Outcome.SUCCEEDED, *, reason: Reason | None = None, **more: Any
    ) -> RunId:
        worker = self.scene.worker()
        run_id = self.running(worker, **more)
        end = AttemptEnd(run_id, 1, worker, outcome, reason=reason, diagnostics="KeyError: 'x'")
        service = RunService(self.ledger)
        end_it = service.fail if outcome is Outcome.FAILED else service.finish
        end_it([end])
        return run_id

    def reconciled(self, **more: Any) -> RunId:
        """A run that the generic reconciler has closed, for its worker was lost."""
        worker = self.scene.worker()
        run_id = self.running(worker, **more)
        with self.ledger.transaction():
            self.ledger.execute(
                "UPDATE lastword_worker SET lease_until = 0 "
                f"WHERE id = {self.ledger.dialect.param}",
                worker,
            )
        verdict = Verdict(
            run_id=run_id,
            status=Status.RUNNING,
            attempt=1,
            dispatch=1,
            reason=Reason.WORKER_LOST,
            evidence={"worker": "its lease ran out"},
            threshold_s=10.0,
            age_s=12.0,
        )
        assert RunService(self.ledger).close([verdict]) == [run_id]
        return run_id

    def records(self, tenant: str) -> dict[str, str]:
        """A backup set, a restore, a review and a pack of a tenant; their ids by kind."""
        now = SQL(self.ledger.dialect.now_ms)
        ids: dict[str, str] = {
            kind: new_run_id() for kind in ("set", "restore", "evidence", "review", "pack")
        }
        shared: dict[str, Any] = {"tenant_id": tenant, "created_at": now, "run_id": new_run_id()}
        database = self.ledger.database
        with self.ledger.transaction():
            BackupSet.insert(
                id=ids["set"],
                status=RecordStatus.SUCCEEDED,
                counts={"items": 3},
                ended_at=now,
                **shared,
            ).execute(database)
            Restore.insert(
                id=ids["restore"],
                backup_set_id=ids["set"],
                status=RecordStatus.PREVIEWED,
                counts={},
                **shared,
            ).execute(database)
            EvidenceSnapshot.insert(id=ids["evidence"], status="active", **shared).execute(database)
            Review.insert(
                id=ids["review"], evidence_id=ids["evidence"], status="ready", **shared
            ).execute(database)
            Pack.insert(
                id=ids["pack"],
                review_id=ids["review"],
                status="ready",
                fingerprint="f",
                file_name="f.zip",
                sha256="0" * 64,
                **shared,
            ).execute(database)
        return ids


@contextmanager
def world_of(
    ledger: Ledger,
    config: Config,
    *,
    open_application: Callable[[], Application] = no_application,
) -> Iterator[World]:
    for tenant, workspace in (
        (OWN_TENANT, OWN),
        (OTHER_TENANT, OWN),
        (FOREIGN_TENANT, FOREIGN),
    ):
        add_tenant(ledger, tenant_id=tenant, name=NAMES[tenant], workspace_id=workspace)
    app = create_app(config, ledger, open_application=open_application)
    # This client waits for the end of an answer, and a stream has none.
    app.state.site.streams.most = 0
    with TestClient(app, base_url=ORIGIN) as client:
        yield World(ledger, config, client, Scene(ledger))
