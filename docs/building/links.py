"""The links of the documentation to other hosts: listed, and with `--ask` asked for.

`python -m docs.building.links [--ask]`. Links inside the documentation are checked by each build;
these only on demand, because whether another host answers is no property of a change.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]

#: Seconds that a host may take.
WITHIN_S = 20.0

#: In place, in angle brackets, or defined by a name for what refers to it.
_LINK = re.compile(
    r"\]\((https?://[^)\s#]+)|<(https?://[^>\s#]+)>|^\[[^]]+\]: (https?://[^\s#]+)", re.MULTILINE
)


def links() -> list[str]:
    """Every link to another host, once; addresses that are only examples are not links."""
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    return sorted({link for file in files for link in _of(file.read_text(encoding="utf-8"))})


def _of(text: str) -> Iterator[str]:
    for found in _LINK.finditer(text):
        yield found[1] or found[2] or found[3]


def fault(link: str) -> str:
    """What is wrong with a link; empty if it is there."""
    try:
        answer = httpx.get(link, follow_redirects=True, timeout=WITHIN_S)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return "" if answer.is_success else str(answer.status_code)


def main(ask: bool) -> int:
    """Print every link, and with `ask` what is wrong with it; how many are wrong."""
    found = links()
    with ThreadPoolExecutor(8) as pool:
        faults = list(pool.map(fault, found)) if ask else [""] * len(found)
    for link, wrong in zip(found, faults, strict=True):
        sys.stdout.write(f"{link}  {wrong}".rstrip() + "\n")
    return sum(map(bool, faults))


if __name__ == "__main__":
    sys.exit(1 if main("--ask" in sys.argv) else 0)
