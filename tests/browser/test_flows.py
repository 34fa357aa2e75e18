"""What people do, in a real browser, in the light and in the dark."""

from __future__ import annotations

from playwright.sync_api import expect

from lastword.reading.audit import AuditFilter, list_audit
from lastword.reading.runs import RunFilter, list_runs
from tests.browser.acting import done, ended, start
from tests.browser.visit import Visit


def test_a_run_is_watched_as_it_becomes_stale_and_is_reconciled(visit: Visit) -> None:
    """Nobody works: no worker, and at first no scheduler. Nothing is reloaded by hand."""
    if "scheduler" not in visit.system.started:
        visit.go("/admin/operations")
        expect(visit.page.locator(".banner")).to_contain_text("No reconciler has ever succeeded")
        assert visit.violations() == []
    start(visit, "inventory", "Sync the inventory", "Inventory sync")
    page = visit.page
    expect(page.locator(".badges")).to_contain_text("Queued")
    page.locator(".badges", has_text="Stale").wait_for(timeout=15_000)
    expect(page.locator(".sentence")).to_contain_text("Stale for")
    expect(page.locator("#announcer")).to_have_text("1 run became stale")
    assert visit.violations() == []
    visit.system.start("scheduler")
    page.locator(".badges", has_text="Reconciled").wait_for(timeout=30_000)
    expect(page.locator(".sentence")).to_contain_text("Reconciled: the generic reconciler closed")
    expect(page.locator(".reconciliation")).to_contain_text("queue_wait_exceeded")
    assert visit.violations() == []
    # The bell tells it once, to whoever has started it.
    visit.go("/admin/workers")
    expect(page.locator(".bell .count")).to_have_text("1")
    page.locator(".bell").click()
    expect(page.locator(".notes .unread")).to_have_count(1)
    assert visit.violations() == []
    page.get_by_role("link", name="View run").first.click()
    page.wait_for_url("**/admin/operations/*")
    visit.go("/admin/notifications")
    expect(page.locator(".notes .unread")).to_have_count(0)


def test_an_event_slides_over_the_log_and_leaves_it_as_it_was(visit: Visit) -> None:
    page = visit.go("/admin/audit")
    link = page.locator("a[data-event]").first
    event = link.get_attribute("data-event")
    link.focus()
    page.keyboard.press("Enter")
    panel = page.locator("dialog[data-slide-over]")
    expect(panel).to_be_visible()
    assert page.url.endswith(f"/admin/audit?event={event}")
    assert panel.evaluate("panel => panel.matches(':modal')")
    box = panel.bounding_box()
    assert box is not None
    assert (round(box["y"]), round(box["height"]), round(box["x"] + box["width"])) == (0, 900, 1280)
    assert visit.violations() == []
    for _ in range(6):
        page.keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    assert page.url.endswith("/admin/audit")
    expect(link).to_be_focused()
    before = len(list_audit(visit.system.ledger, AuditFilter(limit=1000)))
    # A deep link, and the way back through the history.
    visit.go(f"/admin/audit?event={event}")
    expect(panel).to_be_visible()
    page.locator("[data-close]").click()
    expect(panel).to_have_count(0)
    page.locator("a[data-event]").nth(1).click()
    expect(panel).to_be_visible()
    page.go_back()
    expect(panel).to_have_count(0)
    page.locator("a[data-event]").nth(1).click()
    expect(panel).to_be_visible()
    page.mouse.click(20, 400)
    expect(panel).to_have_count(0)
    # Looking is no action.
    assert len(list_audit(visit.system.ledger, AuditFilter(limit=1000))) == before


def test_a_tenant_is_backed_up_and_restored_after_a_preview(visit: Visit) -> None:
    visit.system.with_workers()
    done(visit, "backups", "Back up now", "Scheduled backup")
    page = visit.go(f"{visit.base}/backups")
    assert visit.violations() == []
    page.get_by_role("link", name="Restore", exact=True).first.click()
    page.get_by_label("deviceCompliance").check()
    assert visit.violations() == []
    page.get_by_role("button", name="Prepare a restore").click()
    page.wait_for_url("**/restores/*")
    restore = page.url
    page.get_by_role("button", name="Preview", exact=True).click()
    page.get_by_role("link", name="View run").first.click()
    page.locator(".headline .badge.good", has_text="Succeeded").wait_for(timeout=30_000)
    page.goto(restore)
    expect(page.locator("main")).to_contain_text("unchanged")
    assert visit.violations() == []
    page.get_by_label("Type the name of the tenant").fill(visit.tenant.title())
    page.get_by_role("button", name="Confirm this preview").click()
    expect(page.locator("main")).to_contain_text("by ada")
    page.get_by_role("button", name="Execute the restore").click()
    page.get_by_role("link", name="View run").first.click()
    # In part, where the made-up tenant has no group for an assignment.
    ended(visit)
    page.goto(restore)
    expect(page.locator("main")).to_contain_text("Verified")
    actions = [
        entry["action"]
        for entry in list_audit(visit.system.ledger, AuditFilter(tenant_id=visit.tenant))
        if entry["action"].startswith("restore.")
    ]
    assert actions == ["restore.confirm", "restore.prepare"]


def test_the_other_operations_are_started_and_seen_to_their_end(visit: Visit) -> None:
    visit.system.with_workers()
    done(visit, "inventory", "Sync the policies", "Policy sync")
    page = visit.go(f"{visit.base}/inventory")
    assert page.locator("tbody tr").count() > 10
    assert visit.violations() == []
    done(visit, "directory", "Sync the groups", "Entra group sync")
    done(visit, "directory", "Sync the roles", "Directory role sync")
    visit.go(f"{visit.base}/directory")
    assert visit.violations() == []
    visit.go(f"{visit.base}/baselines")
    page.get_by_label("Name").fill(f"Profile {visit.theme}")
    page.get_by_label("deviceCompliance").check()
    page.get_by_role("button", name="Add a profile").click()
    name = f"Profile {visit.theme}"
    done(visit, "baselines", f"Capture {name} from this tenant", "Baseline capture")
    done(visit, "baselines", f"Compare this tenant with {name}", "Baseline compare")
    visit.go(f"{visit.base}/baselines")
    assert visit.violations() == []
    start(visit, "reviews", "Generate evidence", "Evidence snapshot")
    # What a made-up tenant cannot tell is a gap; the evidence is there all the same.
    ended(visit)
    start(visit, "reviews", "Compose a review", "Tenant review")
    ended(visit)
    done(visit, "reviews", "Pack", "Review pack")
    visit.go(f"{visit.base}/reviews")
    assert visit.violations() == []
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()
    assert downloading.value.suggested_filename.endswith(".zip")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("main")).to_contain_text("Published")


def test_no_page_has_anything_against_it(visit: Visit) -> None:
    run = list_runs(visit.system.ledger, RunFilter(limit=1), labels={})[0]
    seen = AuditFilter(tenant_id=visit.tenant, limit=1)
    event = list_audit(visit.system.ledger, seen)[0]["id"]
    found = []
    for path in (
        "/admin/operations",
        "/admin/operations?tab=attention",
        "/admin/operations?status=wrong",
        f"/admin/operations/{run['id']}?diagnostics=true",
        "/admin/operations?type=policy.sync&outcome=blocked",
        "/admin/audit",
        f"/admin/audit?event={event}",
        "/admin/workers",
        "/admin/notifications",
        "/admin/account",
        "/admin/t",
        visit.base,
        f"{visit.base}/connection",
        f"{visit.base}/restores",
    ):
        visit.page.goto(visit.system.origin + path)
        visit.page.wait_for_load_state("networkidle")
        found += visit.violations()
    # That a page was refused is said by its status, and the console says so too.
    visit.troubles = [trouble for trouble in visit.troubles if "422" not in trouble]
    assert found == []
