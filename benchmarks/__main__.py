"""`make bench`: run the benchmarks, or the parts that are named, and print one table.

`QUICK=1` for a short look, `OUT=file` for JSON: one object a row, appended as soon as it is known.
`PEERS=pgqueuer,huey` picks the peers, `PEERS=` none; a short look has none.
Exits 1 if a value was out of its bound, or a part failed.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.bulk_start import measure_bulk_start
from benchmarks.fleet_load import measure_fleet
from benchmarks.latency import measure_lone_jobs, measure_starts
from benchmarks.limits import measure_limits
from benchmarks.list_page import measure_list_page
from benchmarks.memory import measure_memory
from benchmarks.peers.racing import measure_peers, picked
from benchmarks.placement import measure_placement
from benchmarks.processor import measure_processor
from benchmarks.pruning import measure_pruning
from benchmarks.rows import Row
from benchmarks.scraping import measure_scrape
from benchmarks.sizes import Sizes, sizes_of
from benchmarks.statements import measure_statements
from benchmarks.sweeping import measure_sweep
from benchmarks.table import COLUMNS, cells
from benchmarks.throughput import measure_throughput
from benchmarks.time_to_truth import measure_time_to_truth

#: What there is to measure, in the order in which it is: the name that picks it, and its rows.
PARTS: dict[str, Callable[[Sizes], Iterable[Row]]] = {
    "limits": lambda sizes: measure_limits(
        sizes.databases, seconds=sizes.seconds, rounds=sizes.rounds
    ),
    "throughput": lambda sizes: measure_throughput(
        sizes.databases,
        jobs=sizes.jobs,
        rounds=sizes.rounds,
        processes=sizes.processes,
        kinds=sizes.kinds,
        judged=sizes.judged,
    ),
    "latency": lambda sizes: measure_lone_jobs(
        sizes.databases, jobs=sizes.lone_jobs, rounds=sizes.rounds, judged=sizes.judged
    ),
    "starts": lambda sizes: measure_starts(
        sizes.databases, starts=sizes.starts, rounds=sizes.rounds
    ),
    "bulk": lambda sizes: measure_bulk_start(
        sizes.databases, runs=min(sizes.jobs, 10_000), rounds=sizes.rounds, judged=sizes.judged
    ),
    "placement": lambda sizes: measure_placement(
        sizes.costs_on, jobs=sizes.jobs, rounds=sizes.rounds, judged=sizes.judged
    ),
    "processor": lambda sizes: measure_processor(
        sizes.costs_on, jobs=sizes.jobs, rounds=sizes.rounds
    ),
    "statements": lambda sizes: measure_statements(jobs=sizes.jobs),
    "memory": lambda sizes: measure_memory(
        sizes.costs_on, jobs=sizes.memory_jobs, judged=sizes.judged
    ),
    "sweep": lambda sizes: measure_sweep(
        sizes.databases,
        active=sizes.active,
        least=sizes.sweep_least,
        totals=sizes.sweep_totals,
        rounds=5,
        judged=sizes.judged,
    ),
    "pruning": lambda sizes: measure_pruning(
        sizes.databases,
        completed=sizes.pruned,
        active=max(100, sizes.active // 10),
        judged=sizes.judged,
    ),
    "fleet": lambda sizes: measure_fleet(
        sizes.databases,
        workers=sizes.fleet,
        runs_each=sizes.active // 100,
        times=10,
        seconds=sizes.fleet_seconds,
    ),
    "scrape": lambda sizes: measure_scrape(
        sizes.databases, total=sizes.total, active=sizes.active, rounds=10
    ),
    "list": lambda sizes: measure_list_page(
        sizes.databases, total=sizes.total, active=sizes.active, rounds=sizes.answers
    ),
    "peers": lambda sizes: measure_peers(
        picked(os.environ.get("PEERS")), jobs=sizes.peer_jobs, rounds=sizes.rounds
    ),
    "truth": lambda sizes: measure_time_to_truth(sizes.databases, kills=sizes.kills),
}


def main(names: Sequence[str]) -> int:
    """Run these parts; all if none is named."""
    logging.getLogger("lastword").setLevel(logging.CRITICAL)
    if unknown := set(names) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")  # noqa: T201
        return 2
    out = os.environ.get("OUT")
    if out:
        Path(out).write_text("", encoding="utf-8")
    rows: list[Row] = []
    failed = []
    for name in names or PARTS:
        try:
            for row in PARTS[name](sizes_of()):
                rows.append(row)
                _note(row, out)
        except Exception:  # noqa: BLE001 - the other parts are worth something without this one
            traceback.print_exc()
            failed.append(name)
    _show(rows)
    wrong = [row["name"] for row in rows if row.get("within") is False]
    for name in (*failed, *wrong):
        print(f"failed, or out of its bound: {name}")  # noqa: T201
    return 1 if failed or wrong else 0


def _note(row: Row, out: str | None) -> None:
    ratio = "" if row["ratio"] is None else f" ({row['ratio']} of {row['baseline']})"
    print(f"{row['name']}: {row['value']} {row['unit']}{ratio}", flush=True)  # noqa: T201
    if out:
        with Path(out).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _show(rows: Sequence[Row]) -> None:
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*cells(row))
    Console(width=200).print(table)


if __name__ == "__main__":
    # Servers and folders are put away however it is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
