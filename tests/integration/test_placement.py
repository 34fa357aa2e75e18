"""Worker processes that keep to one CPU: every thread of each, and each to another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lastword.reading.workers import list_workers
from tests.fleets import Fleet
from tests.support import until


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    """One database is enough for what has nothing to do with it."""
    return new_postgres_url


def pids(fleet: Fleet, number: int) -> list[int]:
    """The processes of workers, once so many of them live."""

    def living() -> list[int]:
        rows = list_workers(fleet.scene.ledger)
        return [row["pid"] for row in rows if row["ended_at"] is None]

    return until(lambda: found if len(found := living()) == number else None, within_s=30)


def cpus(pid: int) -> list[set[int]]:
    """Where each thread of a process may be."""
    threads = Path("/proc", str(pid), "task").iterdir()
    return [os.sched_getaffinity(int(thread.name)) for thread in threads]


def test_each_process_keeps_to_a_cpu_of_its_own_with_all_its_threads(fleet: Fleet) -> None:
    fleet.worker("worker-1", "--processes", "2", "--one-cpu")
    places = []
    for pid in pids(fleet, 2):
        # It is in the list of workers before it is placed, and has its threads after that.
        until(lambda: len(cpus(pid)) > 4 and all(len(place) == 1 for place in cpus(pid)))  # noqa: B023
        [place] = {frozenset(place) for place in cpus(pid)}
        places.append(place)
    assert len(set(places)) == min(2, len(os.sched_getaffinity(0)))
    run_id = fleet.start("work")
    assert fleet.scene.completed(run_id)["outcome"] == "succeeded"


def test_without_being_told_a_process_goes_where_it_may(fleet: Fleet) -> None:
    fleet.worker("worker-1")
    [pid] = pids(fleet, 1)
    assert {frozenset(place) for place in cpus(pid)} == {frozenset(os.sched_getaffinity(0))}
