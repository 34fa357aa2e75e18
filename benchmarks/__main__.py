"""`make bench`: run the benchmarks, print one table. `QUICK=1` for a short look, `OUT=` for JSON.

Exits 1 if a time or a ratio was out of its bound, or a run was judged that should not have been.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.list_page import measure_list_page
from benchmarks.scraping import measure_scrape
from benchmarks.sweeping import measure_sweep
from benchmarks.throughput import measure_throughput
from benchmarks.time_to_truth import measure

DATABASES = ("sqlite", "postgresql")


def main() -> int:
    """Run everything."""
    logging.getLogger("lastword").setLevel(logging.CRITICAL)
    quick = bool(os.environ.get("QUICK"))
    rows: list[dict[str, Any]] = []
    for database in DATABASES:
        for sentinel in (True, False):
            rows.append(measure(database, kills=10 if quick else 50, sentinel=sentinel).row())
            _show([rows[-1]])
    rows += measure_throughput(DATABASES, jobs=3_000 if quick else 10_000, rounds=3)
    size = (50_000, 1_000) if quick else (1_000_000, 10_000)
    rows += measure_sweep(DATABASES, total=size[0], active=size[1], rounds=5)
    rows += measure_scrape(DATABASES, total=size[0], active=size[1], rounds=10)
    rows += measure_list_page(DATABASES, total=size[0], active=size[1], rounds=40)
    _show(rows)
    if out := os.environ.get("OUT"):
        Path(out).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wrong = [row for row in rows if row.get("false_verdicts") or row.get("within") is False]
    return 1 if wrong else 0


def _show(rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*names)
    for row in rows:
        table.add_row(*(str(row.get(name, "")) for name in names))
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
