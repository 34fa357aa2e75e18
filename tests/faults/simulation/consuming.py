"""How a worker's messages come to it: fetched, reserved, refused, handed on when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lastword.service.values import Delivery, Refusal, Reservation, Sending
from tests.faults.simulation.actors import NEVER, BrokerLost
from tests.faults.simulation.queues import DELAYED, QUEUE, Note

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage
    from tests.faults.simulation.worker import WorkerProcess

#: Messages that a worker has in its hands and has not begun.
PREFETCH = 2


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A message in a worker's hands; without a reservation if it had no lease to reserve with."""

    note: Note
    reservation: Reservation | None
    since: int


@dataclass(slots=True, eq=False)
class Consumer:
    """The consumer of one worker process.

    Attributes:
        inbox: what waits here for a thread.
        waiting: what waits here for its time.
    """

    stage: Stage
    process: WorkerProcess
    inbox: list[Held] = field(default_factory=list)
    waiting: list[Note] = field(default_factory=list)

    def consume(self) -> None:
        """Fetch while there is room."""
        queue = self.stage.queues
        while True:
            self.stage.actors.wait_for(
                lambda: (
                    bool(queue.ready[QUEUE])
                    and len(self.inbox) < PREFETCH
                    and not self.process.is_stopping
                )
            )
            try:
                self._admit(queue.fetch(QUEUE, self.process.name, PREFETCH))
            except BrokerLost:
                self.stage.actors.sleep(100)

    def _admit(self, notes: Sequence[Note]) -> None:
        marked = [self._accepted(note) for note in notes]
        asked: dict[Delivery, Note] = {}
        refused: list[tuple[Note, Refusal]] = []
        for note in marked:
            delivery = delivery_of(note)
            if self.process.works_on(delivery):
                refused.append((note, Refusal.RUNNING))
            elif delivery in asked or any(
                delivery_of(held.note) == delivery for held in self.inbox
            ):
                refused.append((note, Refusal.HELD))
            else:
                asked[delivery] = note
        since = self.stage.actors.now
        for note, answer in zip(asked.values(), self.reserved(list(asked)), strict=True):
            if answer.refusal not in (None, Refusal.LEASE_LOST):
                refused.append((note, answer.refusal))
            else:
                held = None if answer.refusal else answer
                self.inbox.append(Held(note, held, since))
        for note, why in refused:
            self.refuse(note, why)

    def _accepted(self, note: Note) -> Note:
        if note.dispatch is not None:
            return note
        run = self.stage.new_run(note.run_id, message_ref=note.ref)
        self.stage.actors.insist(lambda: self.stage.runs.accept([run]))
        return replace(note, dispatch=1)

    def reserved(self, asked: list[Delivery]) -> list[Reservation]:
        """Reserve deliveries for the worker that this process is now."""
        worker_id = self.process.worker_id
        answers = self.stage.actors.insist(
            lambda: self.stage.runs.reserve(asked, worker_id=worker_id)
        )
        for answer in answers:
            if answer.refusal is None:
                self.stage.checks.require_free(answer)
        return answers

    def refuse(self, note: Note, why: Refusal) -> None:
        """Drop a message that means nothing any more, or never did."""
        if why is Refusal.HELD:
            runs = self.stage.runs
            refs = self.stage.actors.insist(lambda: runs.message_refs([note.run_id]))
            if refs.get(note.run_id) == note.ref:
                return
        try:
            if why is not Refusal.RUNNING:
                # What this worker works on itself needs no message any more.
                self.stage.checks.require_refusable(note)
            bury = why is Refusal.UNKNOWN_RUN
            self.stage.queues.acknowledge(self.process.name, [note.ref], bury=bury)
        except BrokerLost:
            return

    def consume_delayed(self) -> None:
        """Hand on what is due."""
        queue, actors = self.stage.queues, self.stage.actors
        while True:
            first = min((note.due_ms for note in self.waiting), default=NEVER)
            actors.wait_for(lambda: bool(queue.ready[DELAYED]), until=first)
            try:
                if queue.ready[DELAYED]:
                    self.waiting += queue.fetch(DELAYED, self.process.name, 5)
                for note in [note for note in self.waiting if note.due_ms <= actors.now]:
                    self.waiting.remove(note)
                    self._hand_on(note)
            except BrokerLost:
                # The consumer starts anew; what it had in memory stays in its hold.
                self.waiting.clear()
                actors.sleep(100)

    def _hand_on(self, note: Note) -> None:
        ref = self.stage.queues.new_ref()
        if note.dispatch is not None:
            sending = Sending(note.run_id, note.dispatch, QUEUE, ref)
            self.stage.actors.insist(lambda: self.stage.runs.sent([sending]))
        self.stage.queues.enqueue(QUEUE, [replace(note, ref=ref, due_ms=0)])
        self.stage.queues.acknowledge(self.process.name, [note.ref])


def delivery_of(note: Note) -> Delivery:
    """Which delivery a message is."""
    return Delivery(note.run_id, note.dispatch or 1)
