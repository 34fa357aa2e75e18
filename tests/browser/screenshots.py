"""Makes the pictures of `docs/screenshots` anew: `python -m tests.browser.screenshots`.

Nothing in them is drawn: a real system does real work, loses a worker, and is looked at.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lastword.reading.runs import RunFilter, list_runs
from lastword.reading.workers import list_workers
from tests.browser.acting import done, ended, start
from tests.browser.system import System, running_system
from tests.browser.visit import Visit, visited
from tests.support import until

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"

#: What the pictures are called, and the pages that they show in both themes.
PAGES = {"operations": "/admin/operations", "workers": "/admin/workers"}


def main() -> None:
    """Make every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    assert chromium is not None, "install Debian's chromium"
    with running_system() as system, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        with visited(browser, system, "light") as visit:
            _live(visit)
            _take(visit, "run-healed", _healed(system))
            _restore(visit)
            _slide_over(visit)
        for theme in ("light", "dark"):
            _pages(browser, system, theme)
        browser.close()


def _live(visit: Visit) -> None:
    """One run is lost for want of workers; then everything works, and one worker is killed."""
    start(visit, "inventory", "Sync the inventory", "Inventory sync")
    visit.system.start("scheduler")
    visit.page.locator(".badges", has_text="Reconciled").wait_for(timeout=30_000)
    visit.system.with_workers()
    done(visit, "inventory", "Sync the policies", "Policy sync")
    start(visit, "backups", "Back up now", "Scheduled backup")
    visit.page.locator(".badges", has_text="Running").wait_for(timeout=30_000)
    [worker] = [row for row in list_workers(visit.system.ledger) if row["lease"] == "live"]
    os.kill(worker["pid"], signal.SIGKILL)
    ended(visit)
    done(visit, "directory", "Sync the groups", "Entra group sync")
    start(visit, "reviews", "Generate evidence", "Evidence snapshot")
    ended(visit)


def _healed(system: System) -> str:
    wanted = RunFilter(operation="backup_schedule_run", limit=1)
    [run] = list_runs(system.ledger, wanted, labels={})
    assert run["attempt"] > 1, "the worker was to be killed in the middle of it"
    return str(run["url"])


def _restore(visit: Visit) -> None:
    page = visit.go(f"{visit.base}/backups")
    page.get_by_role("link", name="Restore", exact=True).first.click()
    page.get_by_role("button", name="Prepare a restore").click()
    page.wait_for_url("**/restores/*")
    restore = page.url.removeprefix(visit.system.origin)
    page.get_by_role("button", name="Preview", exact=True).click()
    page.get_by_role("link", name="View run").first.click()
    ended(visit)
    _take(visit, "restore-preview", restore)


def _slide_over(visit: Visit) -> None:
    page = visit.go("/admin/audit")
    page.locator("a[data-event]", has_text="run.close").first.click()
    page.locator("dialog[data-slide-over]").wait_for()
    page.screenshot(path=FOLDER / "audit-event.png")


def _pages(browser: Browser, system: System, theme: str) -> None:
    with visited(browser, system, theme) as visit:
        until(lambda: any(w["lease"] == "live" for w in list_workers(system.ledger)), within_s=30)
        for name, path in PAGES.items():
            _take(visit, f"{name}-{theme}", path)


def _take(visit: Visit, name: str, path: str) -> None:
    page = visit.go(path)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
