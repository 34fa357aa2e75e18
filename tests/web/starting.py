"""A web that can start runs, and short words for what its pages say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from peewee import SQL

from lastword.access import Role
from lastword.application import Application, use_application
from lastword.config import Config
from lastword.legitimacy import installed_gate
from lastword.reading.runs import RunFilter, list_runs
from lastword.service.tenants import set_writable
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.records import BaselineProfile, BaselineSnapshot, Finding
from lastword_jobs.provider.connections import connect_tenant
from lastword_jobs.provider.sealing import Sealer
from tests.support import Silent
from tests.web.pages import text_of
from tests.web.world import OWN, OWN_TENANT, World, world_of

BASE = f"/admin/t/{OWN_TENANT}"


@pytest.fixture
def startable(sqlite_ledger: Ledger, web_config: Config) -> Iterator[World]:
    """Whoever asks owns the workspace, and runs can be started; the tenant is connected."""
    gate = installed_gate(web_config)
    application = Application(web_config, sqlite_ledger, sqlite_ledger, Silent(), gate)
    use_application(application)
    with world_of(sqlite_ledger, web_config, open_application=lambda: application) as world:
        connect_tenant(
            sqlite_ledger,
            Sealer.of(web_config),
            tenant_id=OWN_TENANT,
            client_id="app",
            secret="a secret of it",
        )
        set_writable(sqlite_ledger, OWN_TENANT, writable=True)
        world.person("ada", Role.OWNER)
        world.sign_in("ada")
        yield world


def shown_after(world: World, path: str, **form: Any) -> str:
    """What the page says that a form leads to."""
    answer = world.post(path, **form)
    assert answer.status_code == 303, text_of(answer.text)
    page = world.get(answer.headers["location"])
    assert page.status_code == 200
    return text_of(page.text)


def latest_run(world: World) -> dict[str, Any]:
    run = list_runs(world.ledger, RunFilter(limit=1), labels={})[0]
    row = world.scene.row(run["id"])
    return {**run, "inputs": json.loads(row["context"]).get("inputs", {}), "row": row}


def a_profile(world: World) -> str:
    """A profile with a snapshot; and a finding of the tenant."""
    now = SQL(world.ledger.dialect.now_ms)
    shared = {"types": ["deviceCompliance"], "mode": "content", "created_at": now}
    database = world.ledger.database
    with world.ledger.transaction():
        BaselineProfile.insert(
            id="p1", workspace_id=OWN, name="Corporate", active_snapshot_id="s1", **shared
        ).execute(database)
        BaselineSnapshot.insert(
            id="s1",
            profile_id="p1",
            source_tenant_id=OWN_TENANT,
            run_id="r",
            status="complete",
            gaps=[],
            ended_at=now,
            **shared,
        ).execute(database)
        Finding.insert(
            id="f1",
            tenant_id=OWN_TENANT,
            workspace_id=OWN,
            profile_id="p1",
            snapshot_id="s1",
            recurrence_key="k",
            source="baseline.compare",
            kind="settings",
            change="different",
            type="deviceCompliance",
            name="Compliance of phones",
            severity="high",
            detail={"subject": "x", "differences": ["password"]},
            detail_hash="h",
            status="open",
            run_id="r",
            first_seen_at=now,
            last_seen_at=now,
        ).execute(database)
    return "p1"
