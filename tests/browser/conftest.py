"""Debian's Chromium over a whole system; every page is watched for what must never be there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.system import TENANTS, System, running_system
from tests.browser.visit import Visit, visited

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


@pytest.fixture(params=list(TENANTS))
def visit(request: pytest.FixtureRequest, browser: Browser, system: System) -> Iterator[Visit]:
    """Ada's browser in each theme."""
    with visited(browser, system, request.param) as made:
        yield made


@pytest.fixture
def once(browser: Browser, system: System) -> Iterator[Visit]:
    """Ada's browser, for what is the same in each theme."""
    with visited(browser, system, "light") as made:
        yield made
