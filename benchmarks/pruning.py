"""How fast old history is removed, and for how long that keeps others who write waiting."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.backlog import fill
from benchmarks.rows import unjudged
from benchmarks.stand import Stand, stand
from lastword.identity import WorkerId, new_worker_id
from lastword.service import WorkerService
from lastword.service.pruning import give_pages_back, prune
from lastword.service.workers import NewWorker

#: Completed runs removed in a second at least: what one ledger is meant to take in.
BOUND = 5000.0

#: Seconds that 99 of 100 of another's writes may take.
WAIT_BOUND_S = 0.5

#: Seconds between two writes of the one that is kept waiting.
WRITE_EVERY_S = 0.02

#: What a run that was done at the first try has told: it was accepted, it began, and it ended.
KINDS = ("accepted", "started", "succeeded")


def measure_pruning(
    databases: Sequence[str], *, completed: int, active: int, judged: bool
) -> list[dict[str, Any]]:
    """Removing every completed run, with its attempt and its events, from beside the active ones.

    Args:
        databases: what to measure on.
        completed: runs that are removed.
        active: runs that stay.
        judged: whether what is out of its bound is a failure.
    """
    rows = []
    for database in databases:
        with stand(database) as here:
            fill(here, history=completed, active=active)
            _tell(here)
            size = _bytes(here) / completed
            with _writing(here) as waits_s:
                took_s = _pruned(here, completed)
                give_pages_back(here.ledger, is_enough=lambda: False)
        name = f"pruning of {completed:,} runs, {database}"
        per_s, waited = completed / took_s, len(waits_s)
        p99_s = statistics.quantiles(waits_s, n=100, method="inclusive")[-1]
        rows += [
            _row(f"size of a completed run, {database}", "bytes", round(size), "", None, completed),
            _row(name, "runs/s", round(per_s), f"{BOUND:g}", per_s >= BOUND, completed),
            _row(
                f"{name}, another's write meanwhile, p99",
                "s",
                round(p99_s, 4),
                f"{WAIT_BOUND_S:g}",
                p99_s < WAIT_BOUND_S,
                waited,
            ),
            # To be shown, and no more: a disk that hesitates once is not judged.
            _row(f"{name}, the slowest of them", "s", round(max(waits_s), 4), "", None, waited),
        ]
    return rows if judged else [unjudged(found) for found in rows]


def _row(
    name: str, unit: str, value: float, bound: str, within: bool | None, runs: int
) -> dict[str, Any]:
    return {
        "name": name,
        "unit": unit,
        "value": value,
        "baseline": None,
        "ratio": None,
        "runs": runs,
        "bound": f"{bound} {unit}" if bound else None,
        "within": within,
    }


def _pruned(here: Stand, completed: int) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    removed = prune(here.ledger, older_than_s=0.0, is_enough=lambda: False)
    took_s = time.perf_counter() - began
    assert removed["run"] == completed, removed
    _nothing_is_left(here)
    return took_s


@contextmanager
def _writing(here: Stand) -> Iterator[list[float]]:
    """A worker that renews its lease again and again; how long each time took, in seconds."""
    service, worker_id = WorkerService(here.ledger), new_worker_id()
    service.boot(
        NewWorker(worker_id, host="host", pid=1, version="1", threads=1, broker_id=None),
        lease_ttl_s=600,
    )
    waits_s: list[float] = []
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(service, worker_id, waits_s, done))
    thread.start()
    try:
        yield waits_s
    finally:
        done.set()
        thread.join()


def _beat(
    service: WorkerService, worker_id: WorkerId, waits_s: list[float], done: threading.Event
) -> None:
    while not done.wait(WRITE_EVERY_S):
        began = time.perf_counter()
        service.renew(worker_id, lease_ttl_s=600)
        waits_s.append(time.perf_counter() - began)
    service.ledger.leave_thread()


def _tell(here: Stand) -> None:
    """Give every completed run its attempt and its events, in bulk."""
    completed = "FROM lastword_run WHERE completed_at IS NOT NULL"
    with here.ledger.transaction():
        here.ledger.execute(
            "INSERT INTO lastword_attempt (run_id, number, worker_id, started_at, ended_at, ending)"
            f" SELECT id, 1, worker_id, claimed_at, completed_at, outcome {completed}"
        )
    for kind in KINDS:
        is_last = "TRUE" if kind == KINDS[-1] else "FALSE"
        with here.ledger.transaction():
            here.ledger.execute(
                "INSERT INTO lastword_event (run_id, at, kind, source, attempt, worker_id, outcome,"
                f" terminal) SELECT id, completed_at, '{kind}', 'worker', 1, worker_id, outcome,"
                f" {is_last} {completed}"
            )
    with here.ledger.session():
        here.ledger.execute("ANALYZE")


def _bytes(here: Stand) -> int:
    """What runs, attempts and events take, with their indexes."""
    with here.ledger.session():
        if here.ledger.is_one_file:
            [pages] = here.ledger.execute("PRAGMA page_count")
            [page] = here.ledger.execute("PRAGMA page_size")
            return int(pages["page_count"] * page["page_size"])
        [row] = here.ledger.execute(
            "SELECT SUM(pg_total_relation_size(name)) AS size FROM (VALUES "
            "('lastword_run'), ('lastword_attempt'), ('lastword_event')) AS tables (name)"
        )
    return int(row["size"])


def _nothing_is_left(here: Stand) -> None:
    with here.ledger.session():
        for table in ("lastword_attempt", "lastword_event"):
            left = here.ledger.execute(
                f"SELECT run_id FROM {table} WHERE NOT EXISTS "
                "(SELECT 1 FROM lastword_run WHERE id = run_id) LIMIT 1"
            )
            assert not left, (table, left)
