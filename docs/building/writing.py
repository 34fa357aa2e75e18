"""How reference pages are put into Markdown: tables, and docstrings with their sections."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

#: `name: what it is` at the depth of a section's entries.
_ENTRY = re.compile(r"^([\w*., ]+): (.*)$")

_SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars in cells are kept as text."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def sections(thing: object) -> tuple[str, dict[str, str]]:
    """What the docstring of `thing` says, and its sections by name, each as its lines."""
    text = inspect.getdoc(thing) or ""
    parts = re.split(rf"^({'|'.join(_SECTIONS)})$", text, flags=re.MULTILINE)
    return parts[0].strip(), dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> list[tuple[str, str]]:
    """The entries of a section: names, and what is said of each in one line."""
    found: list[tuple[str, str]] = []
    for line in inspect.cleandoc(section).splitlines():
        entry = _ENTRY.match(line)
        if entry:
            found.append((entry[1], entry[2]))
        elif found and line.strip():
            name, said = found[-1]
            found[-1] = (name, f"{said} {line.strip()}")
    return found


def described(thing: object) -> str:
    """A docstring as Markdown."""
    said, parts = sections(thing)
    blocks = [said]
    for name, section in parts.items():
        listed = "\n".join(f"- `{key}`: {text}" for key, text in entries(section))
        blocks.append(f"{name}\n\n{listed or inspect.cleandoc(section)}")
    return "\n\n".join(blocks)
