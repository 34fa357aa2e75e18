"""Somebody's browser, signed in, and watched for what must never be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.system import TENANTS, System

#: What axe looks for.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@dataclass
class Visit:
    """Somebody's browser, signed in, and what went wrong in it."""

    system: System
    page: Page
    theme: str
    troubles: list[str] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return TENANTS[self.theme]

    @property
    def base(self) -> str:
        return f"/admin/t/{self.tenant}"

    def go(self, path: str) -> Page:
        """Open a page of ours."""
        self.page.goto(self.system.origin + path)
        return self.page

    def text(self) -> str:
        return self.page.inner_text("main")

    def until(self, words: str, within_s: float = 20.0) -> None:
        """Wait until a part of the page that is looked at anew says these words."""
        self.page.get_by_text(words).first.wait_for(timeout=within_s * 1000)

    def violations(self) -> list[str]:
        """What axe has against the page."""
        options: dict[str, Any] = {"runOnly": {"type": "tag", "values": RULES}}
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{self.page.url} ({self.theme}): {rule['id']}: {node['html'][:200]}"
            for rule in found
            for node in rule["nodes"]
        ]


@contextmanager
def visited(browser: Browser, system: System, theme: str) -> Iterator[Visit]:
    """Signed in; in the end nothing was blocked, broke, or asked elsewhere."""
    context = browser.new_context(
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": 1280, "height": 900},
        # What is measured has to stand still.
        reduced_motion="reduce",
    )
    context.set_default_timeout(10_000)
    context.add_init_script("try { localStorage.setItem('lastword.interval', '2') } catch {}")
    made = Visit(system, context.new_page(), theme)
    before = system.reports
    _watch(context, made)
    made.page.goto(system.link())
    made.page.get_by_role("button", name="Sign in").click()
    made.page.wait_for_url("**/admin/operations")
    yield made
    context.close()
    assert made.troubles == []
    assert system.reports == before


def _watch(context: BrowserContext, visit: Visit) -> None:
    origin = visit.system.origin

    def asked(url: str) -> None:
        if not url.startswith((origin, "blob:", "data:")):
            visit.troubles.append(f"a request to {url}")

    context.on("request", lambda request: asked(request.url))
    context.on(
        "console",
        lambda said: visit.troubles.append(said.text) if said.type == "error" else None,
    )
    context.on("weberror", lambda error: visit.troubles.append(str(error.error)))
