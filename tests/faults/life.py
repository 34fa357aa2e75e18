"""The frame of a state machine over the real service: what it keeps, checks and lets pass.

What was handed out once - deliveries, reservations, attempts, verdicts - stays in somebody's hands
for ever: that is what duplicates, zombies and slow reconcilers are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant

from lastword.config import Config
from lastword.identity import RunId, WorkerId
from lastword.service import RunService, WorkerService
from lastword.service.values import Delivery, Reservation, Verdict
from lastword.storage.ledger import Ledger
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.probe import MessageState
from tests.faults import picture
from tests.faults.broker import AnyBroker
from tests.faults.judging import Judge, Step
from tests.faults.picture import Picture
from tests.support import policy

T = TypeVar("T")

LEASE_TTL_S = 10.0

#: A run of these may wait for a minute and work for 50 seconds.
LIMITS: dict[str, Any] = {"running_stale_after": 50, "max_queue_wait": 60, "max_deliveries": 2}
POLICIES = {
    "report.build": policy(**LIMITS),
    "report.once": policy("report.once", on_worker_lost="fail", on_message_lost="fail", **LIMITS),
}

#: Sweeps, half a minute apart, after which nothing may be open once every worker and the broker are
#: gone. A run: its retry's delay, a lost worker and two waits of a minute. One that waits for its
#: children: its own limits once more, after the last of them.
LAST_SWEEPS = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as its worker knows it.

    Attributes:
        retries: the tries after the first that were spent when it was delivered.
    """

    run_id: RunId
    number: int
    worker_id: WorkerId
    retries: int

    @property
    def key(self) -> tuple[str, int]:
        return (self.run_id, self.number)


workers: Bundle[WorkerId] = Bundle("workers")
deliveries: Bundle[Delivery] = Bundle("deliveries")
reservations: Bundle[Reservation] = Bundle("reservations")
attempts: Bundle[Attempt] = Bundle("attempts")
verdicts: Bundle[Verdict] = Bundle("verdicts")


class Life(RuleBasedStateMachine):
    """What every rule stands on.

    Args:
        ledger: where the runs are, on an injected clock; emptied.
        fired: counts rules and answers over all lives.
    """

    def __init__(self, ledger: Ledger, fired: Counter[str]) -> None:
        super().__init__()
        picture.wipe(ledger)
        self.ledger = ledger
        self.fired = fired
        self.service = RunService(ledger)
        self.workers = WorkerService(ledger)
        self.judge = Judge()
        self.broker = AnyBroker()
        self.reconciler = GenericReconciler(
            # A message that is not seen counts as gone at once, and silence is the workers'.
            config=Config(heartbeat_interval=2.0, lease_ttl=LEASE_TTL_S, message_grace=0.0),
            ledger=ledger,
            probe=self.broker,
            dispatcher=self.broker,
            contact=Contact(0),
        )
        self.seen = Picture.of(ledger)
        self.is_sound = True

    def act(self, step: Step, verb: Callable[[], T]) -> T:
        """Use a verb, judge what it did, and use it again as if its answer had been lost."""
        answer = self.once(step, verb)
        verb()
        assert Picture.of(self.ledger) == self.seen, f"{step.name} again did something more"
        return answer

    def once(self, step: Step, verb: Callable[[], T]) -> T:
        """Use a verb that is never repeated by itself."""
        self.is_sound = False
        self.fired[step.name] += 1
        before = self.seen
        answer = verb()
        self.seen = Picture.of(self.ledger)
        self.judge.compare(before, self.seen, step)
        return answer

    def pass_time(self, milliseconds: int) -> None:
        picture.pass_time(self.ledger, milliseconds)
        self.seen = Picture.of(self.ledger)

    def sweep_once(self) -> None:
        step = Step("sweep", is_outsider=True, sweeps=True)
        self.once(step, self.reconciler.sweep)

    @invariant()
    def the_tables_tell_one_story(self) -> None:
        picture.require_one_truth(self.seen)
        picture.require_one_current_attempt(self.seen)
        picture.require_late_results_counted_once(self.seen)
        picture.require_children_counted(self.seen)
        self.is_sound = True

    def teardown(self) -> None:
        """I1: with every worker and the broker gone, time and sweeps alone complete every run."""
        if not self.is_sound:
            # The life was ended by a failure, which must not be covered up by another.
            return
        self.broker.state = MessageState.GONE
        for _ in range(LAST_SWEEPS):
            self.pass_time(30_001)
            self.sweep_once()
            self.the_tables_tell_one_story()
            if not self.open_runs():
                break
        assert self.open_runs() == []

    def alive(self) -> list[str]:
        return [worker_id for worker_id in self.seen.workers if self.seen.is_alive(worker_id)]

    def open_runs(self) -> list[str]:
        return [run_id for run_id, row in self.seen.runs.items() if row["status"] != "completed"]

    def payload_of(self, run_id: RunId) -> str:
        return json.dumps({"run": run_id})
