"""The pages of a tenant: every operation is started from one, and says what became of it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from peewee import SQL

from lastword.access import Role
from lastword.config import Config
from lastword.reading.audit import AuditFilter, list_audit
from lastword.reading.runs import RunFilter, list_runs
from lastword.reading.scheduler import list_schedules
from lastword.service.tenants import suspend_tenant
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import Restore
from lastword_jobs.records import Policy
from lastword_jobs.restores.records import find_restore
from tests.web.pages import text_of
from tests.web.starting import BASE, a_profile, latest_run, shown_after
from tests.web.world import FOREIGN_TENANT, OTHER_TENANT, OWN_TENANT, World, world_of

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
    startable: World,
    path: str,
    form: dict[str, Any],
    operation: str,
    label: str,
    inputs: dict[str, Any],
) -> None:
    a_profile(startable)
    said = shown_after(startable, f"{BASE}/{path}", **form)
    assert re.search(rf"{re.escape(label)}.* queued Running in the background\. View run", said)
    run = latest_run(startable)
    assert (run["type"], run["inputs"], run["tenant_id"]) == (operation, inputs, OWN_TENANT)
    assert (run["row"]["initiator_id"], run["initiator"]) == ("ada", "Ada")
    again = shown_after(startable, f"{BASE}/{path}", **form)
    assert "already running" in again
    assert latest_run(startable)["id"] == run["id"]
    [entry] = list_audit(startable.ledger, AuditFilter(action="run.start", run_id=run["id"]))[-1:]
    assert (entry["actor_id"], entry["result"]) == ("ada", "done")


def test_what_the_gate_refuses_is_a_run_that_says_why_and_what_helps(startable: World) -> None:
    suspend_tenant(startable.ledger, OWN_TENANT)
    said = shown_after(startable, f"{BASE}/inventory/sync")
    assert "Inventory sync blocked The tenant is not in a state in which operations" in said
    assert "Resume the tenant with `lastword tenants set TENANT resumed`" in said
    run = latest_run(startable)
    page = text_of(startable.get(f"/admin/operations/{run['id']}").text)
    assert "Why it was blocked tenant_not_operable" in page
    assert "Next step: Resume the tenant" in page


def test_work_on_the_same_scope_has_to_wait(startable: World) -> None:
    ids = startable.records(OWN_TENANT)
    first = shown_after(startable, f"{BASE}/restores/{ids['restore']}/preview")
    assert "queued" in first
    other = startable.post(f"{BASE}/restores", set=ids["set"]).headers["location"]
    said = shown_after(startable, f"{other}/preview")
    assert "already running Another run works on the same tenant" in said


def test_a_restore_is_prepared_previewed_confirmed_by_name_and_then_executed(
    startable: World,
) -> None:
    ids = startable.records(OWN_TENANT)
    page = startable.post(f"{BASE}/restores", set=ids["set"], type="deviceCompliance").headers[
        "location"
    ]
    restore_id = page.rsplit("/", 1)[1]
    first = text_of(startable.get(page).text)
    assert "Types deviceCompliance" in first
    assert "Confirm this preview" not in first
    shown_after(startable, f"{page}/preview")
    preview = latest_run(startable)
    assert preview["inputs"] == {"restore_id": restore_id, "dry_run": True}
    # As the worker leaves it.
    with startable.ledger.transaction():
        Restore.update(fingerprint="f" * 64).where(Restore.id == restore_id).execute(
            startable.ledger.database
        )
    startable.post(f"/admin/operations/{preview['id']}/cancel", why="it is done")
    assert "Confirm this preview" in text_of(startable.get(page).text)
    for form in (
        {"fingerprint": "f" * 64, "name": "n1"},
        {"fingerprint": "e" * 64, "name": "N1"},
        {"fingerprint": "f" * 64},
    ):
        assert startable.post(f"{page}/confirm", **form).status_code == 422
    # Nothing is executed that was not confirmed.
    blocked = shown_after(startable, f"{page}/execute", fingerprint="f" * 64)
    assert "Restore blocked" in blocked
    assert startable.post(f"{page}/confirm", fingerprint="f" * 64, name="N1").status_code == 303
    found = find_restore(startable.ledger, restore_id)
    assert found is not None
    assert found.confirmed_by == "ada"
    assert "queued" in shown_after(startable, f"{page}/execute", fingerprint="f" * 64)
    assert latest_run(startable)["inputs"] == {"restore_id": restore_id, "fingerprint": "f" * 64}
    told = [entry["action"] for entry in list_audit(startable.ledger, AuditFilter(actor_id="ada"))]
    assert told.index("restore.confirm") < told.index("restore.prepare")


def test_a_set_of_another_tenant_cannot_be_restored(startable: World) -> None:
    for tenant in (OTHER_TENANT, FOREIGN_TENANT):
        ids = startable.records(tenant)
        assert startable.post(f"{BASE}/restores", set=ids["set"]).status_code == 404


def test_a_profile_is_added_and_a_finding_accepted(startable: World) -> None:
    form = {"name": "Strict", "type": ["deviceCompliance"], "mode": "meta"}
    assert startable.post(f"{BASE}/baselines/profiles", **form).status_code == 303
    again = startable.post(f"{BASE}/baselines/profiles", **form)
    assert again.status_code == 422
    assert "has a profile 'Strict' already" in html.unescape(again.text)
    a_profile(startable)
    page = text_of(startable.get(f"{BASE}/baselines").text)
    assert "Compliance of phones" in page
    assert "different, settings" in page
    assert startable.post(f"{BASE}/baselines/accept", finding="f1").status_code == 303
    assert "Compliance of phones" in startable.get(f"{BASE}/baselines?status=accepted").text
    assert startable.post(f"{BASE}/baselines/accept", finding="f1").status_code == 404
    assert startable.post(f"{BASE}/baselines/compare", profile="nothing").status_code == 404


def test_a_schedule_is_added_paused_resumed_and_removed(startable: World) -> None:
    form = {"name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "keep": "7"}
    assert startable.post(f"{BASE}/backups/schedules", **form).status_code == 303
    [schedule] = list_schedules(startable.ledger)
    assert (schedule["inputs"], schedule["tenant_id"]) == ({"keep": 7}, OWN_TENANT)
    assert "nightly 30 2 * * * Europe/Berlin" in text_of(startable.get(f"{BASE}/backups").text)
    change = f"{BASE}/backups/schedules/change"
    for word in ("pause", "resume"):
        assert startable.post(change, name="nightly", change=word).status_code == 303
        [schedule] = list_schedules(startable.ledger)
        assert (schedule["paused_at"] is not None) is (word == "pause")
    foreign = f"/admin/t/{OTHER_TENANT}/backups/schedules/change"
    assert startable.post(foreign, name="nightly", change="remove").status_code == 404
    bad = startable.post(f"{BASE}/backups/schedules", **{**form, "name": "x", "cron": "61 * * * *"})
    assert bad.status_code == 422
    assert startable.post(change, name="nightly", change="remove").status_code == 303
    assert list_schedules(startable.ledger) == []
    done = list_audit(startable.ledger, AuditFilter(actor_id="ada", result="done"))
    told = [entry["action"] for entry in done]
    assert told[:4] == ["schedule.remove", "schedule.resume", "schedule.pause", "schedule.add"]


def test_a_review_is_published_and_one_that_is_there_is_not_made_again(startable: World) -> None:
    ids = startable.records(OWN_TENANT)
    said = shown_after(startable, f"{BASE}/reviews/{ids['review']}/pack")
    # Of a run that is long gone there is nothing to say; the pack is there.
    assert "blocked" not in said
    assert list_runs(startable.ledger, RunFilter(), labels={}) == []
    run = startable.ended(operation="tenant.review.compose")
    with startable.ledger.transaction():
        startable.ledger.execute("UPDATE lastword_jobs_review SET run_id = ?", run)
    said = shown_after(startable, f"{BASE}/reviews/compose")
    assert "already available It was made before and is as it would be. View run" in said
    assert startable.post(f"{BASE}/reviews/{ids['review']}/publish").status_code == 303
    assert "Published" in text_of(startable.get(f"{BASE}/reviews").text)
    assert startable.post(f"{BASE}/reviews/{ids['review']}/publish").status_code == 422


def test_a_viewer_sees_the_pages_and_no_button(startable: World) -> None:
    a_profile(startable)
    startable.records(OWN_TENANT)
    now = SQL(startable.ledger.dialect.now_ms)
    with startable.ledger.transaction():
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
        ).execute(startable.ledger.database)
    pages = ("inventory", "baselines", "backups", "restores", "directory", "reviews", "connection")

    def forms() -> dict[str, int]:
        found = {}
        for name in pages:
            page = startable.get(f"{BASE}/{name}").text.split("<main")[1].split("</main>")[0]
            found[name] = len(re.findall(r"<form[^>]*>(?:(?!</form>).)*<button", page, re.DOTALL))
        return found

    owner = forms()
    assert min(owner.values()) >= 1
    startable.person("vic", Role.VIEWER)
    startable.sign_in("vic")
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
