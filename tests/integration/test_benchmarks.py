"""The benchmarks run: at sizes that say nothing about speed, so that they are there when needed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.__main__ import PARTS
from benchmarks.peers.catalog import PEERS
from benchmarks.peers.racing import APPLICATIONS, picked
from benchmarks.rows import KEYS, at_least, at_most, compared, row, unjudged
from benchmarks.sizes import FULL, QUICK, TINY, sizes_of
from benchmarks.table import markdown

ROOT = Path(__file__).parents[2]


def measured(folder: Path, *parts: str) -> list[dict[str, Any]]:
    """The rows of these parts, from the command that people run."""
    out = folder / "rows.jsonl"
    ours = ("LASTWORD_", "BENCH_", "dramatiq_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *parts],
        cwd=ROOT,
        env={**kept, "TINY": "1", "OUT": str(out)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_what_asks_the_ledger_gives_rows(tmp_path: Path) -> None:
    rows = measured(
        tmp_path, "limits", "starts", "bulk", "sweep", "pruning", "fleet", "scrape", "list"
    )
    assert all(list(found)[: len(KEYS)] == list(KEYS) for found in rows)
    assert all(found["value"] >= 0 and found["runs"] for found in rows)
    first_words = {found["name"].replace(",", " ").split()[0] for found in rows}
    assert first_words == {
        *("commits/s", "round", "start", "start_many", "sweep", "size", "pruning"),
        *("heartbeat", "heartbeats", "ledger's", "heartbeat's", "share", "scrape", "list"),
    }


def test_what_needs_a_worker_gives_rows(tmp_path: Path) -> None:
    [speed, memory] = measured(tmp_path, "throughput", "memory")
    assert speed["ratio"] == pytest.approx(speed["value"] / speed["baseline"], rel=0.05)
    assert (speed["unit"], memory["unit"]) == ("jobs/s", "MB")
    assert memory["with_sentinel"] > memory["value"] > 10


def test_a_part_that_does_not_exist_is_said_to() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert all(name in done.stdout for name in PARTS)


def test_a_row_says_what_it_is_held_to() -> None:
    found = compared("jobs", "jobs/s", [300.0, 310.0, 290.0], [100.0, 90.0, 110.0])
    assert (found["value"], found["baseline"], found["ratio"]) == (300.0, 100.0, 3.0)
    assert at_least(found, 3.0)["within"]
    assert not at_most(found, 1.2)["within"]
    assert unjudged(at_most(found, 1.2)) == {**found, "bound": "ratio <= 1.2"}


def test_rows_become_a_table() -> None:
    rows = [
        at_most(compared("sweep", "s", [2.0], [1.0]), 1.2),
        row("jobs beside a peer", "jobs/s", "absent", runs=0, note="it is not there"),
    ]
    assert markdown(rows).splitlines() == [
        "| name | unit | value | baseline | ratio | runs | bound | within | more |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| sweep | s | 2.0 | 1.0 | 2.0 | 1 | ratio <= 1.2 | NO |  |",
        "| jobs beside a peer | jobs/s | absent |  |  | 0 |  |  | note it is not there |",
    ]


def test_the_sizes_are_those_that_are_asked_for() -> None:
    assert (sizes_of({}), sizes_of({"QUICK": "1"}), sizes_of({"TINY": "1"})) == (FULL, QUICK, TINY)


def test_peers_are_picked_by_name() -> None:
    assert picked(None) == PEERS
    assert picked("") == []
    assert [peer.name for peer in picked("huey, pgqueuer")] == ["pgqueuer", "huey"]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_each_peer_has_an_application_that_can_be_filled(peer: Any) -> None:
    tree = ast.parse((APPLICATIONS / f"{peer.application or peer.name}.py").read_text())
    [fill] = [node for node in tree.body if getattr(node, "name", "") == "fill"]
    assert isinstance(fill, ast.FunctionDef)
    assert [argument.arg for argument in fill.args.args] == ["jobs"]
