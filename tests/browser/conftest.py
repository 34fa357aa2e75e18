"""Debian's Chromium over a whole system; every page is watched for what must never be there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.system import TENANTS, System, running_system

#: What axe looks for.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

HOW = "install Debian's chromium to have them"


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"the tests in a browser need one: {HOW}")
        pytest.skip(f"left out, for there is no browser here: {HOW}")
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Root has no sandbox; whoever runs this as somebody else has one.
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        made = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield made
        made.close()


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running_system() as made:
        yield made


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


@pytest.fixture(params=list(TENANTS))
def visit(request: pytest.FixtureRequest, browser: Browser, system: System) -> Iterator[Visit]:
    """Ada's browser in each theme."""
    with _visited(browser, system, request.param) as made:
        yield made


@pytest.fixture
def once(browser: Browser, system: System) -> Iterator[Visit]:
    """Ada's browser, for what is the same in each theme."""
    with _visited(browser, system, "light") as made:
        yield made


@contextmanager
def _visited(browser: Browser, system: System, theme: Literal["light", "dark"]) -> Iterator[Visit]:
    """Signed in; in the end nothing was blocked, broke, or asked elsewhere."""
    context = browser.new_context(
        color_scheme=theme,
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
