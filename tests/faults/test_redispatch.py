"""An emptied broker: everything is on the queue again within a minute, and done once."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import redis

from lastword.identity import RunId, new_run_id
from lastword.reading.scheduler import list_sweeps
from lastword.service import RunService
from lastword.service.requests import NewRun
from lastword.service.values import Redispatched
from lastword.storage.ledger import Ledger
from tests.campaigns import volume
from tests.fleets import Fleet
from tests.support import until

#: PostgreSQL does ten thousand too, in a minute and a quarter; here it has to be quicker.
RUNS = {"sqlite": volume(2_500, long=10_000), "postgresql": volume(1_000, long=2_000)}


def accept_many(fleet: Fleet, count: int) -> list[Redispatched]:
    """Runs that are accepted and waiting to be sent, with the messages that they have."""
    policy = fleet.application.config.policy("fleet.work")
    asked: list[tuple[RunId, dict[str, Any]]] = [(new_run_id(), {}) for _ in range(count)]
    composed = fleet.application.dispatcher.compose("fleet.work", asked)
    letters = [(letter.run_id, letter.payload) for letter in composed]
    for start in range(0, count, 1000):
        RunService(fleet.scene.ledger).accept(
            [
                NewRun(run_id=run_id, policy=policy, actor_name="work", payload=payload)
                for run_id, payload in letters[start : start + 1000]
            ]
        )
    return [Redispatched(run_id, 1, payload, 0, 0) for run_id, payload in letters]


def counted(ledger: Ledger, what: str, condition: str = "TRUE") -> dict[Any, int]:
    with ledger.session():
        rows = ledger.execute(
            f"SELECT {what} AS what, COUNT(*) AS n FROM lastword_run WHERE {condition} GROUP BY 1"
        )
    return {row["what"]: row["n"] for row in rows}


def on_the_queue(client: redis.Redis) -> int:
    length: Any = client.llen("dramatiq:default")
    return int(length)


def executions(fleet: Fleet) -> Counter[str]:
    return Counter(line[1] for line in fleet.journal("begin"))


@pytest.mark.timeout(180)
def test_all_runs_of_an_emptied_broker_are_back_within_a_minute_and_done_once(
    fleet: Fleet, redis_url: str
) -> None:
    count = RUNS["sqlite" if fleet.scene.ledger.is_one_file else "postgresql"]
    with redis.Redis.from_url(redis_url) as client:
        runs = accept_many(fleet, count)
        fleet.supervisor.run("scheduler", "scheduler")
        # None of them was ever sent: the outbox. Then the broker loses them all.
        until(lambda: on_the_queue(client) == count, within_s=60, what="the outbox to be emptied")
        client.flushall()
        emptied_at = time.monotonic()
        until(lambda: on_the_queue(client) == count, within_s=60, what="all to be back")
        back_within_s = time.monotonic() - emptied_at
        fleet.worker("worker-1", "--threads", "4")
        until(
            lambda: counted(fleet.scene.ledger, "status") == {"completed": count},
            within_s=100,
            what="all to be done",
        )
        assert counted(fleet.scene.ledger, "outcome") == {"succeeded": count}
        assert counted(fleet.scene.ledger, "attempt") == {1: count}
        assert set(counted(fleet.scene.ledger, "dispatch")) <= {2, 3}
        assert executions(fleet) == Counter({run.run_id: 1 for run in runs})
        assert back_within_s < 60
        [generic] = [
            row for row in list_sweeps(fleet.scene.ledger) if row["job"] == "reconcile.generic"
        ]
        assert generic["result"] == "succeeded"
