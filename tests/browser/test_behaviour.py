"""How pages behave while they look for news, under fingers, on small screens, without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from lastword.identity import new_run_id
from lastword.reading.runs import RunFilter, list_runs
from lastword.reasons import Reason
from lastword.service import RunService
from lastword.service.requests import Denial, NewRun
from tests.browser.acting import done
from tests.browser.system import TENANTS, System
from tests.browser.visit import Visit


@pytest.fixture(scope="module", autouse=True)
def lived_in(system: System) -> None:
    """A few runs are there, which the gate has refused."""
    policy = system.config.policy("policy.sync")
    denial = Denial(Reason.TENANT_NOT_OPERABLE, "It is suspended.")
    for _ in range(3):
        new = NewRun(
            run_id=new_run_id(),
            policy=policy,
            actor_name="policy_sync",
            payload="{}",
            tenant_id=TENANTS["light"],
            workspace_id="default",
            initiator_id="ada",
            initiator_name="Ada Lovelace",
            denial=denial,
        )
        RunService(system.ledger).refuse([new])


def _asked_again(page: Page) -> None:
    """Wait until the page has asked for its rows again."""
    with page.expect_request("**/admin/operations/rows*", timeout=10_000):
        pass


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
    rows = page.locator("table.runs tbody tr")
    expect(rows.nth(done_before)).to_be_attached(timeout=15_000)
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
    page.get_by_role("combobox", name="Outcome").select_option("blocked")
    page.get_by_role("button", name="Apply").click()
    assert "outcome=blocked" in page.url
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
