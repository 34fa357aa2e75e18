"""A place where everything that can break is together: an application, its worker, its sweeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import dramatiq
from dramatiq import Actor
from dramatiq.broker import Broker
from dramatiq.worker import Worker

from lastword.application import Application
from lastword.config import Config
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.slots import SlotKeeper
from tests.faults.breaking import Breaker
from tests.support import Scene, policy, until

POLICY = policy(min_backoff=0.01, max_backoff=0.02)

#: How often each kind of work is executed before its run has ended.
EXECUTED = {"succeeds": 1, "retries": 2, "fails": 3, "is never repeated": 1}


@dataclass
class Place:
    """One application with its worker, whose calls can be broken, and one look from outside."""

    config: Config
    broker: Broker
    application: Application
    worker: Worker
    scene: Scene
    breaker: Breaker
    sweeper: GenericReconciler
    breakable: GenericReconciler
    keeper: SlotKeeper
    executed: Counter[int]
    numbers: int = 0
    expected: Counter[int] = field(default_factory=Counter)

    def number(self, does: str = "succeeds") -> int:
        """Something new to do."""
        self.numbers += 1
        self.expected[self.numbers] = EXECUTED[does]
        return self.numbers

    def actor(self, broker: Broker | None = None, *, does: str = "succeeds") -> Actor[..., None]:
        """What is sent to."""
        name = "build_once" if does == "is never repeated" else "build"
        return (broker or self.broker).get_actor(name)

    def settle(self) -> None:
        """Sweep until every run has its last word; each was executed as often as it should be."""
        until(self._is_settled, within_s=60, what="the last word of every run")
        assert self.executed == self.expected
        with self.scene.ledger.session():
            rows = self.scene.ledger.execute(
                "SELECT run_id, COUNT(*) AS ends FROM lastword_event WHERE terminal "
                "GROUP BY run_id HAVING COUNT(*) <> 1"
            )
        assert rows == []

    def is_empty(self) -> bool:
        """Whether Redis has no message left."""
        client = self.broker.client  # type: ignore[attr-defined]
        return all(client.hlen(f"dramatiq:default{end}.msgs") == 0 for end in ("", ".DQ"))

    def _is_settled(self) -> bool:
        self.sweeper.sweep()
        with self.scene.ledger.session():
            [row] = self.scene.ledger.execute(
                "SELECT COUNT(*) AS open_runs FROM lastword_run WHERE completed_at IS NULL"
            )
        return row["open_runs"] == 0 and self.is_empty()


def declare(broker: Broker, executed: Counter[int]) -> None:
    """The actor whose runs are tried again, and the one whose runs are not."""

    @dramatiq.actor(operation="report.build", actor_name="build", broker=broker)
    def build(number: int, does: str = "succeeds") -> None:
        executed[number] += 1
        if does == "fails" or (does == "retries" and executed[number] == 1):
            raise RuntimeError("it failed")

    @dramatiq.actor(operation="report.once", actor_name="build_once", broker=broker)
    def build_once(number: int, does: str) -> None:
        del does
        executed[number] += 1
