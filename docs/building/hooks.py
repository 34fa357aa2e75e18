"""What the site has beside docs/: README, runbooks and what pages link to, with links that fit.

Pages are written for whoever reads them in the repository, so links lead to files. What MkDocs
would not find below docs/ is added to the site, and the links to it are turned.
"""

from __future__ import annotations

import logging
import os.path
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

#: Pages outside docs/, and what they are on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}

#: Parts of the navigation that are filled from a folder of docs/, with what else belongs there.
FOLDERS = {
    "How to": ("how-to", []),
    "Explanation": ("explanation", ["scaling.md", "benchmarks.md", "reliability.md"]),
    "Reference": ("reference", []),
}

#: Pages that stand before the others of their folder, in the order in which they are needed.
FIRST = [
    *("install", "existing-application", "transactional-start", "fastapi", "flask", "django"),
    *("test-your-actors", "custom-reconciler", "postgresql", "rabbitmq", "kubernetes", "alerts"),
    *("promise", "evidence", "fencing", "timing-chain"),
    *("cli", "configuration", "python"),
]

#: A link or a picture: what stands before its target, and the target without its anchor.
LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)#\s]+)")

#: What a browser loads by itself, from elsewhere.
LOADED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=[\"']?(?:https?:)?//|"
    r"<link[^>]+rel=[\"']?(?:stylesheet|preconnect)[^>]+href=[\"']?(?:https?:)?//"
)

log = logging.getLogger("mkdocs.hooks.lastword")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the parts of the navigation that are folders."""
    config.nav = [_filled(part) for part in config.nav or []]
    return config


def _filled(part: dict[str, Any]) -> dict[str, Any]:
    [title] = part
    if title == "Runbooks":
        return {title: [site_path(page) for page in runbooks()]}
    if title not in FOLDERS:
        return part
    folder, others = FOLDERS[title]
    pages = sorted((ROOT / "docs" / folder).glob("*.md"), key=_place)
    found = [f"{folder}/{page.name}" for page in pages]
    return {title: found + [name for name in others if (ROOT / "docs" / name).exists()]}


def _place(page: Path) -> tuple[int, str]:
    return FIRST.index(page.stem) if page.stem in FIRST else len(FIRST), page.stem


def runbooks() -> list[str]:
    """Their pages below the root, the list of them first."""
    books = ROOT / "deploy" / "runbooks"
    pages = sorted(books.rglob("*.md"), key=lambda page: (page.parent != books, page))
    return [str(page.relative_to(ROOT)) for page in pages]


def site_path(path: str) -> str:
    """Where a file of the repository is on the site."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/") and not path.startswith("docs/examples/"):
        return path.removeprefix("docs/")
    return path.removeprefix("deploy/") if path.startswith("deploy/runbooks/") else f"files/{path}"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages and files that are outside docs/."""
    pages = [*PAGES, *runbooks()]
    for path in [*pages, *_linked(pages, files)]:
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    return files


def _linked(pages: list[str], files: Files) -> list[str]:
    """The files outside docs/ that pages link to, and that are no pages."""
    sources = [*pages, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    found = {
        path
        for source in sources
        for _, target in LINK.findall((ROOT / source).read_text())
        if (path := resolved(source, target)) and site_path(path).startswith("files/")
    }
    return sorted(path for path in found if (ROOT / path).is_file())


def resolved(source: str, target: str) -> str:
    """What a link in a file of the repository leads to, from the root."""
    return os.path.normpath(os.path.join(os.path.dirname(source), target))


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn each link to a file of the repository into one to where that is on the site."""
    source = os.path.relpath(str(page.file.abs_src_path), ROOT)
    here = os.path.dirname(page.file.src_uri)

    def turned(found: re.Match[str]) -> str:
        path = resolved(source, found[2])
        if not (ROOT / path).is_file():
            log.warning("%s links to %s, which is no file", source, found[2])
        return f"{found[1]}{os.path.relpath(site_path(path), here or '.')}"

    return LINK.sub(turned, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Warn of a page that makes a browser ask another host."""
    for found in LOADED.findall(output):
        log.warning("%s loads from elsewhere: %s", page.file.src_uri, found)
    return output
