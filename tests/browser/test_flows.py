"""What people do, in a real browser, in the light and in the dark."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from lastword.reading.audit import AuditFilter, list_audit
from lastword.reading.runs import RunFilter, list_runs
from tests.browser.conftest import Visit


def start(visit: Visit, page: str, button: str, label: str) -> str:
    """Press a button of a page of the tenant; the page of the run that it has started."""
    visit.go(f"{visit.base}/{page}")
    visit.page.get_by_role("button", name=button, exact=True).click()
    toast = visit.page.locator("[data-toast]")
    expect(toast).to_contain_text(f"{label} queued")
    expect(toast).to_contain_text("Running in the background.")
    toast.get_by_role("link", name="View run").click()
    visit.page.wait_for_url("**/admin/operations/*")
    return visit.page.url.removeprefix(visit.system.origin)


def _asked_again(page: Page) -> None:
    """Wait until the page has asked for its rows again."""
    with page.expect_request("**/admin/operations/rows*", timeout=10_000):
        pass


def ended(visit: Visit) -> None:
    """Wait until the run whose page is open has ended well, or in part."""
    well = re.compile("Succeeded|Partly done")
    visit.page.locator(".headline .badge", has_text=well).wait_for(timeout=30_000)


def done(visit: Visit, page: str, button: str, label: str) -> str:
    """The same, and wait on its page until it has succeeded."""
    run = start(visit, page, button, label)
    visit.page.locator(".headline .badge.good", has_text="Succeeded").wait_for(timeout=30_000)
    return run


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


def test_typing_is_not_disturbed_by_looking_again(once: Visit) -> None:
    """What somebody has typed, ticked or opened stays while the page looks for news."""
    once.system.with_workers()
    page = once.go("/admin/operations")
    before = list_runs(once.system.ledger, RunFilter(limit=1), labels={})[0]
    page.locator("details.filters summary").click()
    field = page.get_by_label("Tenant", exact=True)
    field.fill("cont")
    done_before = page.locator("table.runs tbody tr").count()
    other = page.context.new_page()
    here, once.page = once.page, other
    done(once, "inventory", "Sync the policies", "Policy sync")
    other.close()
    once.page = here
    field.focus()
    page.wait_for_function(
        f"document.querySelectorAll('table.runs tbody tr').length > {done_before}", timeout=15_000
    )
    expect(field).to_have_value("cont")
    expect(field).to_be_focused()
    assert page.locator("details.filters").get_attribute("open") is not None
    assert page.locator(f"#run-{before['id']}").count() == 1


def test_looking_again_can_be_paused_and_stops_when_nobody_looks(once: Visit) -> None:
    page = once.go("/admin/operations")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _asked_again(page)
    page.get_by_role("button", name="Pause").click()
    asked.clear()
    page.wait_for_timeout(3500)
    assert [url for url in asked if "rows" in url] == []
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("button", name="Go on").click()
    _asked_again(page)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
    )
    asked.clear()
    page.wait_for_timeout(3500)
    assert [url for url in asked if "rows" in url] == []


def test_keys_lead_through_the_list_and_can_be_switched_off(once: Visit) -> None:
    page = once.go("/admin/operations")
    assert page.locator("[data-row]").count() > 0
    page.keyboard.press("j")
    expect(page.locator("[data-row]").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Operation", exact=True)).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("combobox", name="Operation", exact=True)).to_be_focused()
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert once.violations() == []
    page.keyboard.press("Escape")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_hidden()
    page.get_by_label("Single-key shortcuts").check()


def test_filters_become_chips_and_chips_can_be_taken_off(once: Visit) -> None:
    page = once.go("/admin/operations")
    page.locator("details.filters summary").click()
    page.get_by_role("combobox", name="Operation", exact=True).select_option("inventory_sync")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/admin/operations?tab=all&type=inventory_sync")
    chip = page.get_by_label("Remove the filter Operation: Inventory sync")
    expect(chip).to_be_visible()
    assert once.violations() == []
    chip.click()
    expect(chip).to_have_count(0)


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


def test_a_narrow_screen_has_everything(once: Visit) -> None:
    once.page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/admin/operations", f"{once.base}/backups", "/admin/workers"):
        page = once.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert once.violations() == []


def test_every_page_works_without_javascript(once: Visit) -> None:
    state = once.page.context.storage_state()
    browser = once.page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False, storage_state=state)
    page = context.new_page()
    origin = once.system.origin
    page.goto(f"{origin}/admin/operations")
    page.locator("details.filters summary").click()
    page.get_by_role("combobox", name="Outcome").select_option("succeeded")
    page.get_by_role("button", name="Apply").click()
    assert "outcome=succeeded" in page.url
    page.goto(f"{origin}/admin/audit")
    page.locator("a[data-event]").first.click()
    assert "event=" in page.url
    expect(page.locator("dialog[data-slide-over]")).to_be_visible()
    page.locator("[data-close]").click()
    assert page.url.endswith("/admin/audit")
    page.goto(f"{origin}{once.base}/inventory")
    page.get_by_role("button", name="Sync the policies", exact=True).click()
    expect(page.locator("[data-toast]")).to_contain_text("Policy sync")
    context.close()
