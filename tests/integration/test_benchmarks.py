"""The benchmarks run, at sizes that say nothing, and give rows with what every reader needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

#: What every row has.
KEYS = {"name", "unit", "value", "baseline", "ratio", "runs", "bound", "within"}

SMALL = {
    "pruning": "measure_pruning(['sqlite'], completed=200, active=100)",
    "fleet_load": ("measure_fleet(['sqlite'], workers=3, runs_each=5, times=20, seconds=1.0)"),
}


def rows_of(module: str, call: str) -> list[dict[str, Any]]:
    """In a process of its own: a stand puts its settings into the environment."""
    program = (
        f"import json, logging\nfrom benchmarks.{module} import *\n"
        "if __name__ == '__main__':\n"
        "    logging.getLogger('lastword').setLevel(logging.CRITICAL)\n"
        f"    print(json.dumps({call}))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize("module", SMALL)
def test_a_benchmark_gives_rows_that_can_be_judged(module: str) -> None:
    rows = rows_of(module, SMALL[module])
    assert rows
    for row in rows:
        assert set(row) == KEYS, row
        assert row["value"] >= 0
        # Each bound is judged, and nothing else is.
        assert (row["bound"] is None) == (row["within"] is None), row
