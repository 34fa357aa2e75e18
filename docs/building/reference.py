"""The pages of docs/reference, written from the code: `python -m docs.building.reference`.

A test holds the pages in the repository against what this makes of the code that is there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.building.codes import reasons_page
from docs.building.commands import commands_page
from docs.building.interfaces import http_page, python_page
from docs.building.series import metrics_page
from docs.building.settings import configuration_page

FOLDER = Path(__file__).parents[1] / "reference"

#: Every page with what writes it.
PAGES: dict[str, Callable[[Path], str]] = {
    "cli.md": lambda _: commands_page(),
    "configuration.md": lambda _: configuration_page(),
    "http.md": lambda _: http_page(),
    "metrics.md": metrics_page,
    "python.md": lambda _: python_page(),
    "reasons.md": lambda _: reasons_page(),
}

_NOTE = "\n\n<!-- Written by `make reference` from the code. Change the code, not this page. -->\n"


def pages() -> Iterator[tuple[Path, str]]:
    """Every page, as the code has it now."""
    with tempfile.TemporaryDirectory() as folder:
        for name, write in PAGES.items():
            yield FOLDER / name, write(Path(folder)).rstrip() + _NOTE


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for file, text in pages():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
