"""The pages of a tenant: every operation is started from one, and says what became of it."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peewee import SQL

from lastword.access import Role
from lastword.config import Config
from lastword.legitimacy import installed_gate
from lastword.reading.audit import AuditFilter, list_audit
from lastword.reading.runs import RunFilter, list_runs
from lastword.reading.scheduler import list_schedules
from lastword.service.tenants import set_writable, suspend_tenant
from lastword.starting import Application, use_application
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import Restore
from lastword_jobs.baselines.records import BaselineProfile, BaselineSnapshot, Finding
from lastword_jobs.provider.connections import Connection, connect_tenant, credentials_of
from lastword_jobs.provider.sealing import Sealer
from lastword_jobs.records import Policy
from lastword_jobs.restores.records import find_restore
from lastword_jobs.reviews.packing import FOLDER
from lastword_jobs.reviews.records import Pack
from tests.support import Silent
from tests.web.test_operations import text_of
from tests.web.world import FOREIGN_TENANT, OTHER_TENANT, OWN, OWN_TENANT, World, world_of

BASE = f"/admin/t/{OWN_TENANT}"


@pytest.fixture
def web(sqlite_ledger: Ledger, web_config: Config) -> Iterator[World]:
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


STARTS: list[tuple[str, dict[str, Any], str, str, dict[str, Any]]] = [
    ("inventory/sync", {}, "inventory_sync", "Inventory sync", {}),
    (
        "inventory/policies",
        {"type": ["deviceCompliance", "settingsCatalog"]},
        "policy.sync",
        "Policy sync",
        {"types": ["deviceCompliance", "settingsCatalog"]},
    ),
    (
        "inventory/policy",
        {"policy_id": "x1", "type": "deviceCompliance"},
        "policy.sync_one",
        "Policy sync (one policy)",
        {"policy_id": "x1", "type": "deviceCompliance"},
    ),
    (
        "directory/groups",
        {"mode": "full"},
        "entra_group_sync",
        "Entra group sync",
        {"mode": "full"},
    ),
    ("directory/roles", {}, "directory_role_definitions.sync", "Directory role", {}),
    ("baselines/capture", {"profile": "p1"}, "baseline_capture", "Baseline", {"profile_id": "p1"}),
    ("baselines/compare", {"profile": "p1"}, "baseline_compare", "Baseline", {"profile_id": "p1"}),
    ("backups/run", {}, "backup_schedule_run", "Scheduled backup", {}),
    ("reviews/evidence", {}, "tenant.evidence.snapshot.generate", "Evidence", {}),
]


@pytest.mark.parametrize(("path", "form", "operation", "label", "inputs"), STARTS)
def test_a_page_starts_its_operation_and_says_that_it_runs_in_the_background(
    web: World, path: str, form: dict[str, Any], operation: str, label: str, inputs: dict[str, Any]
) -> None:
    a_profile(web)
    said = shown_after(web, f"{BASE}/{path}", **form)
    assert re.search(rf"{re.escape(label)}.* queued Running in the background\. View run", said)
    run = latest_run(web)
    assert (run["type"], run["inputs"], run["tenant_id"]) == (operation, inputs, OWN_TENANT)
    assert (run["row"]["initiator_id"], run["initiator"]) == ("ada", "Ada")
    again = shown_after(web, f"{BASE}/{path}", **form)
    assert "already running" in again
    assert latest_run(web)["id"] == run["id"]
    [entry] = list_audit(web.ledger, AuditFilter(action="run.start", run_id=run["id"]))[-1:]
    assert (entry["actor_id"], entry["result"]) == ("ada", "done")


def test_what_the_gate_refuses_is_a_run_that_says_why_and_what_helps(web: World) -> None:
    suspend_tenant(web.ledger, OWN_TENANT)
    said = shown_after(web, f"{BASE}/inventory/sync")
    assert "Inventory sync blocked The tenant is not in a state in which operations" in said
    assert "Resume the tenant with `lastword tenants set TENANT resumed`" in said
    run = latest_run(web)
    page = text_of(web.get(f"/admin/operations/{run['id']}").text)
    assert "Why it was blocked tenant_not_operable" in page
    assert "Next step: Resume the tenant" in page


def test_work_on_the_same_scope_has_to_wait(web: World) -> None:
    ids = web.records(OWN_TENANT)
    first = shown_after(web, f"{BASE}/restores/{ids['restore']}/preview")
    assert "queued" in first
    other = web.post(f"{BASE}/restores", set=ids["set"]).headers["location"]
    said = shown_after(web, f"{other}/preview")
    assert "already running Another run works on the same tenant" in said


def test_a_restore_is_prepared_previewed_confirmed_by_name_and_then_executed(web: World) -> None:
    ids = web.records(OWN_TENANT)
    page = web.post(f"{BASE}/restores", set=ids["set"], type="deviceCompliance").headers["location"]
    restore_id = page.rsplit("/", 1)[1]
    first = text_of(web.get(page).text)
    assert "Types deviceCompliance" in first
    assert "Confirm this preview" not in first
    shown_after(web, f"{page}/preview")
    preview = latest_run(web)
    assert preview["inputs"] == {"restore_id": restore_id, "dry_run": True}
    # As the worker leaves it.
    with web.ledger.transaction():
        Restore.update(fingerprint="f" * 64).where(Restore.id == restore_id).execute(
            web.ledger.database
        )
    web.post(f"/admin/operations/{preview['id']}/cancel", why="it is done")
    assert "Confirm this preview" in text_of(web.get(page).text)
    for form in (
        {"fingerprint": "f" * 64, "name": "n1"},
        {"fingerprint": "e" * 64, "name": "N1"},
        {"fingerprint": "f" * 64},
    ):
        assert web.post(f"{page}/confirm", **form).status_code == 422
    # Nothing is executed that was not confirmed.
    blocked = shown_after(web, f"{page}/execute", fingerprint="f" * 64)
    assert "Restore blocked" in blocked
    assert web.post(f"{page}/confirm", fingerprint="f" * 64, name="N1").status_code == 303
    found = find_restore(web.ledger, restore_id)
    assert found is not None
    assert found.confirmed_by == "ada"
    assert "queued" in shown_after(web, f"{page}/execute", fingerprint="f" * 64)
    assert latest_run(web)["inputs"] == {"restore_id": restore_id, "fingerprint": "f" * 64}
    told = [entry["action"] for entry in list_audit(web.ledger, AuditFilter(actor_id="ada"))]
    assert told.index("restore.confirm") < told.index("restore.prepare")


def test_a_set_of_another_tenant_cannot_be_restored(web: World) -> None:
    for tenant in (OTHER_TENANT, FOREIGN_TENANT):
        ids = web.records(tenant)
        assert web.post(f"{BASE}/restores", set=ids["set"]).status_code == 404


def test_a_profile_is_added_and_a_finding_accepted(web: World) -> None:
    form = {"name": "Strict", "type": ["deviceCompliance"], "mode": "meta"}
    assert web.post(f"{BASE}/baselines/profiles", **form).status_code == 303
    again = web.post(f"{BASE}/baselines/profiles", **form)
    assert again.status_code == 422
    assert "has a profile 'Strict' already" in html.unescape(again.text)
    a_profile(web)
    page = text_of(web.get(f"{BASE}/baselines").text)
    assert "Compliance of phones" in page
    assert "different, settings" in page
    assert web.post(f"{BASE}/baselines/accept", finding="f1").status_code == 303
    assert "Compliance of phones" in web.get(f"{BASE}/baselines?status=accepted").text
    assert web.post(f"{BASE}/baselines/accept", finding="f1").status_code == 404
    assert web.post(f"{BASE}/baselines/compare", profile="nothing").status_code == 404


def test_a_schedule_is_added_paused_resumed_and_removed(web: World) -> None:
    form = {"name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "keep": "7"}
    assert web.post(f"{BASE}/backups/schedules", **form).status_code == 303
    [schedule] = list_schedules(web.ledger)
    assert (schedule["inputs"], schedule["tenant_id"]) == ({"keep": 7}, OWN_TENANT)
    assert "nightly 30 2 * * * Europe/Berlin" in text_of(web.get(f"{BASE}/backups").text)
    change = f"{BASE}/backups/schedules/change"
    for word in ("pause", "resume"):
        assert web.post(change, name="nightly", change=word).status_code == 303
        [schedule] = list_schedules(web.ledger)
        assert (schedule["paused_at"] is not None) is (word == "pause")
    foreign = f"/admin/t/{OTHER_TENANT}/backups/schedules/change"
    assert web.post(foreign, name="nightly", change="remove").status_code == 404
    bad = web.post(f"{BASE}/backups/schedules", **{**form, "name": "x", "cron": "61 * * * *"})
    assert bad.status_code == 422
    assert web.post(change, name="nightly", change="remove").status_code == 303
    assert list_schedules(web.ledger) == []
    done = list_audit(web.ledger, AuditFilter(actor_id="ada", result="done"))
    told = [entry["action"] for entry in done]
    assert told[:4] == ["schedule.remove", "schedule.resume", "schedule.pause", "schedule.add"]


def test_a_review_is_published_and_one_that_is_there_is_not_made_again(web: World) -> None:
    ids = web.records(OWN_TENANT)
    said = shown_after(web, f"{BASE}/reviews/{ids['review']}/pack")
    # Of a run that is long gone there is nothing to say; the pack is there.
    assert "blocked" not in said
    assert list_runs(web.ledger, RunFilter(), labels={}) == []
    run = web.ended(operation="tenant.review.compose")
    with web.ledger.transaction():
        web.ledger.execute("UPDATE lastword_jobs_review SET run_id = ?", run)
    said = shown_after(web, f"{BASE}/reviews/compose")
    assert "already available It was made before and is as it would be. View run" in said
    assert web.post(f"{BASE}/reviews/{ids['review']}/publish").status_code == 303
    assert "Published" in text_of(web.get(f"{BASE}/reviews").text)
    assert web.post(f"{BASE}/reviews/{ids['review']}/publish").status_code == 422


def packed(world: World, content: bytes = b"PK-of-a-review") -> str:
    """A pack whose file is there; its id."""
    ids = world.records(OWN_TENANT)
    folder = Path(world.config.data_dir) / FOLDER
    folder.mkdir()
    (folder / "f.zip").write_bytes(content)
    with world.ledger.transaction():
        Pack.update(sha256=hashlib.sha256(content).hexdigest()).execute(world.ledger.database)
    return ids["pack"]


def test_a_pack_is_handed_over_by_a_signed_link(web: World) -> None:
    pack = packed(web)
    link = web.post(f"{BASE}/packs/{pack}/link").headers["location"]
    assert list_audit(web.ledger, AuditFilter(action="pack.link"))[0]["target_id"] == pack
    web.sign_out()
    answer = web.get(link)
    assert answer.content == b"PK-of-a-review"
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith("attachment; ")
    body, signature = link.rsplit("/", 1)[1].split(".")
    for forged in (f"{body}x.{signature}", f"{body}.{signature[:-2]}", "a.b", f"{body}."):
        assert web.get(f"/admin/packs/{forged}").status_code == 404


def test_a_link_to_a_pack_ends_and_a_damaged_file_is_not_handed_over(
    web: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = packed(web)
    link = web.post(f"{BASE}/packs/{pack}/link").headers["location"]
    file = Path(web.config.data_dir) / FOLDER / "f.zip"
    file.write_bytes(b"something else")
    damaged = web.get(link)
    assert (damaged.status_code, "is damaged" in damaged.text) == (409, True)
    file.unlink()
    assert "is not on this host" in web.get(link).text
    monkeypatch.setattr("lastword_jobs.web.packs.LINK_LIFETIME_S", -1)
    late = web.post(f"{BASE}/packs/{pack}/link").headers["location"]
    assert web.get(late).status_code == 404


def test_a_secret_goes_in_and_never_comes_out(web: World) -> None:
    form = {"client_id": "another", "secret": "hunter2-of-the-app"}
    assert web.post(f"{BASE}/connection", **form).status_code == 303
    assert credentials_of(web.ledger, web.config, OWN_TENANT).client_secret == "hunter2-of-the-app"
    for path in (f"{BASE}/connection", "/admin/audit/export", "/admin/audit"):
        assert "hunter2" not in web.get(path).text
    with web.ledger.session():
        [row] = (
            Connection.select()
            .where(Connection.client_id == "another")
            .execute(web.ledger.database)
        )
    assert "hunter2" not in row.sealed_secret


def test_without_a_key_nothing_is_sealed_and_the_page_says_what_is_missing(
    sqlite_ledger: Ledger, web_config: Config
) -> None:
    with world_of(sqlite_ledger, replace(web_config, secret_key="")) as world:
        world.person("ada", Role.OWNER)
        world.sign_in("ada")
        answer = world.post(f"{BASE}/connection", client_id="a", secret="b")
        assert answer.status_code == 409
        assert "set LASTWORD_SECRET_KEY" in answer.text


def test_a_viewer_sees_the_pages_and_no_button(web: World) -> None:
    a_profile(web)
    web.records(OWN_TENANT)
    now = SQL(web.ledger.dialect.now_ms)
    with web.ledger.transaction():
        Policy.insert(
            tenant_id=OWN_TENANT,
            type="deviceCompliance",
            external_id="x1",
            name="Phones",
            meta={},
            meta_hash="h",
            last_seen_run="r",
            seen_at=now,
            missing=False,
        ).execute(web.ledger.database)
    pages = ("inventory", "baselines", "backups", "restores", "directory", "reviews", "connection")

    def forms() -> dict[str, int]:
        found = {}
        for name in pages:
            page = web.get(f"{BASE}/{name}").text.split("<main")[1].split("</main>")[0]
            found[name] = len(re.findall(r"<form[^>]*>(?:(?!</form>).)*<button", page, re.DOTALL))
        return found

    owner = forms()
    assert min(owner.values()) >= 1
    web.person("vic", Role.VIEWER)
    web.sign_in("vic")
    # A pack may be read by all who may see the tenant.
    assert forms() == {**dict.fromkeys(pages, 0), "reviews": 1}


def test_where_nothing_can_be_started_the_page_says_so(
    sqlite_ledger: Ledger, web_config: Config
) -> None:
    with world_of(sqlite_ledger, web_config) as world:
        world.person("ada", Role.OWNER)
        world.sign_in("ada")
        answer = world.post(f"{BASE}/inventory/sync")
        assert (answer.status_code, "nothing is started in this test" in answer.text) == (409, True)
