"""The fenced blocks of the documentation, and the markers that stand above them.

A marker is an HTML comment in the line above the fence: `<!-- file: NAME -->`, `<!-- run -->`,
`<!-- not run: REASON -->`. Python that readers need not see is `<!-- set-up: python ... -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]

MARKER = re.compile(r"<!-- (file|run|not run)(?:: (.+))? -->")

SET_UP = re.compile(r"<!-- set-up: python\n(.*?)^-->", re.DOTALL | re.MULTILINE)

#: A line that takes in a file, or a section of one.
INCLUDED = re.compile(r'^--8<-- "([^":]+)(?::(\w+))?"$')


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        page: the page, from the root.
        line: the number of its first line of content, from 1.
        language: the first word behind the fence.
        text: what is in it.
        marker: `file`, `run`, `not run`, or nothing.
        told: what the marker says: the file's name, the reason.
    """

    page: str
    line: int
    language: str
    text: str
    marker: str = ""
    told: str = ""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.page}:{self.line}"

    @property
    def included(self) -> list[re.Match[str]]:
        """The lines that take in files, if it has no others."""
        found = [INCLUDED.match(line) for line in self.text.splitlines() if line.strip()]
        return [line for line in found if line] if found and all(found) else []


def pages() -> list[str]:
    """Every page that holds blocks: README, docs/, runbooks, and how to work on it."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    return sorted(str(file.relative_to(ROOT)) for file in files)


@cache
def blocks_of(page: str) -> list[Block]:
    """The blocks of a page, in their order; what is indented is one too."""
    return list(_found(page, (ROOT / page).read_text(encoding="utf-8")))


def _found(page: str, text: str) -> Iterator[Block]:
    lines = text.splitlines()
    for token in MarkdownIt("commonmark").parse(text):
        if token.type not in ("fence", "code_block"):
            continue
        assert token.map is not None
        first = token.map[0]
        marker = MARKER.fullmatch(lines[first - 1].strip()) if first else None
        name, told = (marker[1], marker[2] or "") if marker else ("", "")
        language = token.info.partition(" ")[0]
        yield Block(page, first + 2, language, token.content, name, told)


def python_of(page: str) -> str:
    """All Python of a page in its order, each line where it is on the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in blocks_of(page):
        if block.language == "python" and not block.marker and not block.included:
            _put(lines, block.line, block.text)
    for found in SET_UP.finditer(text):
        _put(lines, text[: found.start(1)].count("\n") + 1, found[1])
    return "\n".join(lines)


def _put(lines: list[str], first: int, text: str) -> None:
    for number, line in enumerate(text.splitlines()):
        lines[first - 1 + number] = line
