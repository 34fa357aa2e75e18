"""From a message in a worker's hands to an attempt: age, reservation, gate, claim."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lastword.identity import WorkerId
from lastword.reasons import Reason
from lastword.service.requests import Denial
from lastword.service.reserving import BEGIN_WITHIN_MS
from lastword.service.values import Barred, Delivery, Refusal, Rejection, Reservation
from tests.faults.simulation.actors import BrokerLost
from tests.faults.simulation.consuming import Held, delivery_of
from tests.faults.simulation.journal import Execution
from tests.faults.simulation.queues import Note

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage
    from tests.faults.simulation.worker import WorkerProcess

#: Milliseconds between two looks whether the lease is live again.
AGAIN_MS = 500

DENIAL = Denial(Reason.WRITE_GATE_BLOCKED, "it may not")


@dataclass(frozen=True, slots=True)
class Beginnings:
    """Those of one worker process."""

    stage: Stage
    process: WorkerProcess

    def begun(self, held: Held, delivery: Delivery) -> Execution | None:
        """The attempt that a delivery becomes, if it becomes one."""
        reservation = held.reservation or self._reserved_late(held.note, delivery)
        if reservation is None or not self._admitted(held.note, reservation):
            return None
        if self._may_begin(held, reservation):
            assert reservation.worker_id is not None
            execution = self._execution(
                held.note, reservation.attempt, reservation.worker_id, self.stage.actors.now
            )
            self.process.writer.begin(execution)
            return execution
        return self._claimed(held.note, delivery)

    def is_rejected(self, note: Note, delivery: Delivery) -> bool:
        """Whether a message has grown too old: asked before anything else is."""
        if self._is_too_old(note):
            self._reject(note, delivery)
            return True
        return False

    def _claimed(self, note: Note, delivery: Delivery) -> Execution | None:
        # Its attempt may begin with the first of these, whatever is heard of it.
        asked = self.stage.actors.now
        while True:
            worker_id = self.process.worker_id
            claim = self.stage.actors.insist(
                partial(self.process.writer.claim, delivery, worker_id)
            )
            if claim.refusal is None:
                return self._execution(note, claim.attempt, worker_id, asked)
            if claim.refusal is not Refusal.LEASE_LOST:
                self.process.consumer.refuse(note, claim.refusal)
                return None
            self.stage.actors.sleep(AGAIN_MS)

    def _reserved_late(self, note: Note, delivery: Delivery) -> Reservation | None:
        while True:
            [answer] = self.process.consumer.reserved([note])
            if answer.refusal is None:
                return answer
            if answer.refusal is not Refusal.LEASE_LOST:
                self.process.consumer.refuse(note, answer.refusal)
                return None
            self.stage.actors.sleep(AGAIN_MS)

    def _is_too_old(self, note: Note) -> bool:
        start = self.stage.starts[note.run_id]
        age_ms = self.stage.actors.now - self.stage.started_ms[note.run_id]
        return 0 < start.expires_s * 1000 < age_ms

    def _reject(self, note: Note, delivery: Delivery) -> None:
        runs, worker_id = self.stage.runs, self.process.worker_id
        told = Rejection(*delivery, Reason.AGE_LIMIT_EXCEEDED, worker_id=worker_id)
        self.stage.actors.insist(lambda: runs.reject([told]))
        try:
            self.stage.checks.require_rejected(note, worker_id)
            self.process.consumer.drop(note, bury=True)
        except BrokerLost:
            return

    def _admitted(self, note: Note, reservation: Reservation) -> bool:
        """What was allowed when the run was accepted is asked again."""
        if reservation.run_id not in self.stage.barred:
            return True
        runs, (run_id, dispatch) = self.stage.runs, delivery_of(note)
        rejection = Rejection(run_id, dispatch, DENIAL.reason, worker_id=reservation.worker_id)
        barred = Barred(run_id, dispatch, reservation.worker_id, DENIAL)
        if reservation.attempt > 1 or reservation.probation:
            self.stage.actors.insist(lambda: runs.reject([rejection]))
        else:
            self.stage.actors.insist(lambda: runs.block([barred]))
        self.process.consumer.refuse(note, Refusal.BLOCKED)
        return False

    def _may_begin(self, held: Held, reservation: Reservation) -> bool:
        now = self.stage.actors.now
        policy = self.stage.policy_of(reservation.run_id)
        return (
            now - held.since < BEGIN_WITHIN_MS
            and not reservation.probation
            and policy.may_repeat
            and reservation.worker_id == self.process.worker_id
            and now < self.process.lease_until
            and self.process.writer.is_reaching
        )

    def _execution(self, note: Note, attempt: int, worker_id: WorkerId, began_ms: int) -> Execution:
        assert note.dispatch is not None
        execution = Execution(
            note.run_id,
            note.dispatch,
            attempt,
            worker_id,
            self.process.name,
            note.ref,
            note.retries,
            began_ms,
        )
        self.stage.begin(execution)
        return execution
