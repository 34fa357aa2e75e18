"""What people do again and again on the pages of a tenant."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.visit import Visit


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


def ended(visit: Visit) -> None:
    """Wait until the run whose page is open has ended well, or in part."""
    well = re.compile("Succeeded|Partly done")
    visit.page.locator(".headline .badge", has_text=well).wait_for(timeout=30_000)


def done(visit: Visit, page: str, button: str, label: str) -> str:
    """The same, and wait on its page until it has succeeded."""
    run = start(visit, page, button, label)
    visit.page.locator(".headline .badge.good", has_text="Succeeded").wait_for(timeout=30_000)
    return run
