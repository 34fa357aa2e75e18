"""`python -m benchmarks.table FILE`: the rows of an `OUT=FILE` as a table in Markdown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.rows import KEYS, Row

COLUMNS = (*KEYS, "bound", "within", "more")

_WITHIN = {True: "yes", False: "NO", None: ""}


def cells(row: Row) -> list[str]:
    """What a row shows in each column; whatever has none is in the last one."""
    more = [f"{key} {value}" for key, value in row.items() if key not in COLUMNS]
    shown = {**row, "within": _WITHIN[row.get("within")], "more": ", ".join(more)}
    return ["" if shown.get(name) is None else str(shown[name]) for name in COLUMNS]


def markdown(rows: list[Row]) -> str:
    """All rows as one table; columns that no row fills are left out."""
    lines = [cells(row) for row in rows]
    filled = [number for number, _ in enumerate(COLUMNS) if any(line[number] for line in lines)]
    table = [list(COLUMNS), ["---"] * len(COLUMNS), *lines]
    return "\n".join(f"| {' | '.join(line[number] for number in filled)} |" for line in table)


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    print(markdown([json.loads(line) for line in lines]))  # noqa: T201
