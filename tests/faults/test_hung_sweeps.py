"""A sweep that hangs: it is left to itself, told of, and the next one does its work."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis

from lastword.identity import RunId
from lastword.storage.ledger import Ledger, Row
from tests.fleets import Fleet
from tests.processes import alive, lastword
from tests.support import until
from tests.workers import counter

JOB = "reconcile.generic"


def query(ledger: Ledger, statement: str) -> list[Row]:
    """Facts, asked for in plain SQL."""
    with ledger.session():
        return ledger.execute(statement)


@pytest.fixture
def database_url(new_postgres_url: str) -> str:
    """A lock on one row, which is there on a server only."""
    return new_postgres_url


@contextmanager
def locked(url: str, run_id: RunId) -> Iterator[None]:
    """Somebody's transaction that holds a run: whoever would move it waits."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT id FROM lastword_run WHERE id = %s FOR UPDATE", [run_id])
        yield


def without_message(fleet: Fleet) -> RunId:
    """A run that the generic reconciler has to send again."""
    run_id = fleet.start("work")
    with redis.Redis.from_url(fleet.redis_url) as client:
        client.flushall()
    return run_id


def sweep(fleet: Fleet, result: str, *, job: str = JOB, after: int = 0) -> dict[str, Any]:
    """Wait for a sweep that ended so; its row."""
    statement = f"SELECT * FROM lastword_sweep WHERE job = '{job}' AND result = '{result}'"
    [row] = until(
        lambda: [row for row in query(fleet.scene.ledger, statement) if row["ended_at"] > after],
        what=f"{job} to be {result}",
    )
    return row


def told(fleet: Fleet) -> dict[str, Any]:
    """What an operator is shown."""
    environment = {**os.environ, **fleet.supervisor.environment}
    said = lastword("sweeps", "--json", env=environment)
    assert said.returncode == 0, said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def test_a_sweep_that_hangs_in_a_lock_is_abandoned_told_of_and_followed_by_one_that_works(
    fleet: Fleet, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTWORD_SWEEP_DEADLINE", "1")
    run_id = without_message(fleet)
    with locked(database_url, run_id):
        fleet.supervisor.run("scheduler", "scheduler")
        abandoned = sweep(fleet, "abandoned")
        # The other jobs go on beside it, and the lease is renewed.
        sweep(fleet, "succeeded", job="rescue.broker", after=abandoned["ended_at"])
        shown = told(fleet)
        [row] = [item for item in shown["sweeps"] if item["job"] == JOB]
        assert row["result"] == "abandoned"
        assert "longer than 1 s" in row["error"]
        assert shown["leader"]["lease"] == "live"
        assert fleet.scene.kinds(run_id) == ["accepted"]
        held_until = sweep(fleet, "abandoned")["ended_at"]
    works = sweep(fleet, "succeeded", after=held_until)
    assert works["scheduler"] == abandoned["scheduler"]
    assert counter(fleet.scene, "sweeps", f"{JOB}/abandoned") >= 1
    fleet.worker()
    row = fleet.scene.completed(run_id)
    # Of the sweeps that waited for the lock one has moved it, and the others nothing.
    assert (row["outcome"], row["dispatch"]) == ("succeeded", 2)
    assert fleet.scene.kinds(run_id).count("redispatched") == 1
    assert len(fleet.journal("begin")) == 1


def test_a_scheduler_whose_sweeps_all_hang_ends_and_the_one_in_its_place_works(
    fleet: Fleet, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LASTWORD_SWEEP_DEADLINE", "0.2")
    run_id = without_message(fleet)
    with locked(database_url, run_id):
        fleet.supervisor.run("scheduler", "scheduler")
        stuck = fleet.supervisor.pids()["scheduler"]
        until(lambda: not alive(stuck), what="the scheduler to end")
    assert "scheduler_stuck" in (fleet.folder / "logs" / "scheduler.log").read_text()
    fleet.worker()
    assert fleet.scene.completed(run_id)["outcome"] == "succeeded"
    assert len(fleet.journal("begin")) == 1
