"""The site of the documentation: it builds strictly, and asks no other host for anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs.building.hooks import LOADED, resolved, runbooks, site_path
from docs.building.links import links

from tests.documents.blocks import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    mkdocs = str(Path(sys.executable).with_name("mkdocs"))
    command = [mkdocs, "build", "--strict", "--site-dir", str(folder)]
    # What Material says of its successor is no warning about these pages.
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_it_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    for page in ("index.html", "tutorial/index.html", "reference/cli/index.html"):
        assert (site / page).is_file()
    for book in runbooks()[1:]:
        assert (site / site_path(book).removesuffix(".md") / "index.html").is_file()


def test_no_page_makes_a_browser_ask_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    assert [str(page) for page in pages if LOADED.search(page.read_text())] == []


def test_what_is_loaded_from_elsewhere_would_be_found() -> None:
    assert LOADED.search('<script async src="https://elsewhere.example/x.js">')
    assert LOADED.search('<link rel="stylesheet" href="https://elsewhere.example/x.css">')
    assert not LOADED.search('<a href="https://elsewhere.example/">')


def test_links_between_pages_lead_to_where_the_site_has_them() -> None:
    target = resolved("docs/operations.md", "../deploy/runbooks/README.md")
    assert site_path(target) == "runbooks/README.md"
    assert site_path(resolved("README.md", "docs/web.md")) == "web.md"
    assert site_path(resolved("deploy/runbooks/README.md", "../../docs/web.md")) == "web.md"


def test_links_to_other_hosts_are_listed() -> None:
    assert {"https://dramatiq.io", "https://pkg.go.dev/github.com/riverqueue/river"} <= set(links())
