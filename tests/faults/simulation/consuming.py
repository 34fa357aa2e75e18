"""How a worker's messages come to it: fetched, reserved, refused, handed on when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lastword.errors import LedgerUnavailable
from lastword.reasons import Reason
from lastword.service.values import Delivery, Refusal, Reservation, Sending
from tests.faults.simulation.actors import NEVER, BrokerLost
from tests.faults.simulation.queues import DELAYED, QUEUE, Note

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage
    from tests.faults.simulation.worker import WorkerProcess

#: Messages that a worker has in its hands and has not begun.
PREFETCH = 2

#: Milliseconds between two looks at what the broker believes a worker to hold.
RECLAIM_EVERY_MS = 5_000


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
        hands: the messages that are here, whatever the broker believes.
    """

    stage: Stage
    process: WorkerProcess
    inbox: list[Held] = field(default_factory=list)
    waiting: list[Note] = field(default_factory=list)
    hands: set[str] = field(default_factory=set)
    _look_at: dict[str, int] = field(default_factory=lambda: {QUEUE: 0, DELAYED: 0})

    def consume(self) -> None:
        """Fetch while there is room."""
        queue = self.stage.queues
        while True:
            self.stage.actors.wait_for(
                lambda: (
                    bool(queue.ready[QUEUE])
                    and len(self.inbox) < PREFETCH
                    and not self.process.is_stopping
                ),
                until=self._next_look(QUEUE),
            )
            try:
                self._look_if_due(QUEUE)
                if queue.ready[QUEUE]:
                    self._admit(self._fetched(QUEUE, PREFETCH))
            except BrokerLost:
                self.stage.actors.sleep(100)

    def _fetched(self, queue: str, most: int) -> list[Note]:
        found = self.stage.queues.fetch(queue, self.process.name, most)
        notes = [note for note in found if not note.is_garbled and note.ref not in self.hands]
        self.hands.update(note.ref for note in notes)
        if any(note.is_garbled for note in found):
            self._look(queue)
        return notes

    def _admit(self, notes: Sequence[Note]) -> None:
        marked = [self._accepted(note) for note in notes]
        asked: dict[Delivery, Note] = {}
        refused: list[tuple[Note, Refusal]] = []
        for note in marked:
            delivery = delivery_of(note)
            if self.process.works_on(delivery):
                refused.append((note, Refusal.RUNNING))
            elif delivery in asked or self._has_reserved(delivery):
                refused.append((note, Refusal.HELD))
            else:
                asked[delivery] = note
        since = self.stage.actors.now
        for note, answer in zip(asked.values(), self.reserved(list(asked.values())), strict=True):
            if answer.refusal not in (None, Refusal.LEASE_LOST):
                refused.append((note, answer.refusal))
            else:
                held = None if answer.refusal else answer
                self.inbox.append(Held(note, held, since))
        for note, why in refused:
            self.refuse(note, why)

    def _has_reserved(self, delivery: Delivery) -> bool:
        return any(
            held.reservation is not None and delivery_of(held.note) == delivery
            for held in self.inbox
        )

    def _accepted(self, note: Note) -> Note:
        if note.dispatch is not None:
            return note
        run = self.stage.new_run(note.run_id, message_ref=note.ref)
        self.stage.actors.insist(lambda: self.stage.runs.accept([run]))
        return replace(note, dispatch=1)

    def reserved(self, notes: Sequence[Note]) -> list[Reservation]:
        """Reserve what messages ask for, for the worker that this process is now."""
        if not notes:
            return []
        worker_id = self.process.worker_id
        asked = [delivery_of(note) for note in notes]
        answers = self.stage.actors.insist(
            lambda: self.stage.runs.reserve(asked, worker_id=worker_id)
        )
        for answer in answers:
            if answer.refusal is None:
                self.stage.checks.require_free(answer)
        return [
            # It is compared with what was accepted, which comes with the reservation.
            answer._replace(refusal=Refusal.TAMPERED)
            if note.is_forged and answer.refusal is None
            else answer
            for note, answer in zip(notes, answers, strict=True)
        ]

    def refuse(self, note: Note, why: Refusal) -> None:
        """Drop a message that means nothing any more, or never did."""
        runs, actors = self.stage.runs, self.stage.actors
        if why is Refusal.HELD:
            refs = actors.insist(lambda: runs.message_refs([note.run_id]))
            if refs.get(note.run_id) == note.ref:
                # All that the broker has of the run; it is given back with the next look.
                self.hands.discard(note.ref)
                return
        if why is Refusal.TAMPERED:
            actors.insist(lambda: self._disown(note))
        try:
            if why is Refusal.BLOCKED:
                self.stage.checks.require_rejected(note, self.process.worker_id)
            elif why is not Refusal.RUNNING:
                # What this worker works on itself needs no message any more.
                self.stage.checks.require_refusable(note)
            self.drop(note, bury=why in (Refusal.UNKNOWN_RUN, Refusal.TAMPERED))
        except BrokerLost:
            # It is here no more, whatever the broker believes.
            self.hands.discard(note.ref)

    def drop(self, note: Note, *, bury: bool = False) -> None:
        """Acknowledge a message, or hand it to the dead letters."""
        self.stage.queues.acknowledge(self.process.name, [note.ref], bury=bury)
        self.hands.discard(note.ref)

    def _disown(self, note: Note) -> None:
        delivery = delivery_of(note)
        self.stage.runs.release([delivery], worker_id=self.process.worker_id)
        self.stage.runs.disown([delivery], message_ref=note.ref)

    def consume_delayed(self) -> None:
        """Hand on what is due."""
        queue, actors = self.stage.queues, self.stage.actors
        while True:
            first = min((note.due_ms for note in self.waiting), default=NEVER)
            until = min(first, self._next_look(DELAYED))
            actors.wait_for(lambda: bool(queue.ready[DELAYED]), until=until)
            try:
                self._look_if_due(DELAYED)
                if queue.ready[DELAYED]:
                    self.waiting += self._fetched(DELAYED, 5)
                for note in [note for note in self.waiting if note.due_ms <= actors.now]:
                    self.waiting.remove(note)
                    self._hand_on(note)
            except BrokerLost:
                # The consumer starts anew; what it had in memory stays in its hold until it looks.
                self.hands.difference_update(note.ref for note in self.waiting)
                self.waiting.clear()
                actors.sleep(100)

    def _hand_on(self, note: Note) -> None:
        ref = self.stage.queues.new_ref()
        if note.dispatch is not None:
            sending = Sending(note.run_id, note.dispatch, QUEUE, ref)
            self.stage.actors.insist(lambda: self.stage.runs.sent([sending]))
        self.stage.queues.enqueue(QUEUE, [replace(note, ref=ref, due_ms=0)])
        self.drop(note)

    def _next_look(self, queue: str) -> int:
        # What the broker believes is only looked at where it may believe something wrong.
        held = self.stage.queues.held(queue, self.process.name)
        return self._look_at[queue] if held - self.hands else NEVER

    def _look_if_due(self, queue: str) -> None:
        if self._next_look(queue) <= self.stage.actors.now:
            self._look(queue)

    def _look(self, queue: str) -> None:
        self._look_at[queue] = self.stage.actors.now + RECLAIM_EVERY_MS
        for note in self.stage.queues.believed(queue, self.process.name):
            if note.ref in self.hands:
                continue
            if note.is_garbled:
                self._bury(queue, note)
            else:
                self.stage.queues.requeue(self.process.name, [note.ref])

    def _bury(self, queue: str, note: Note) -> None:
        try:
            self.stage.runs.reject_message(
                message_queue=queue,
                message_ref=note.ref,
                reason=Reason.UNDECODABLE_MESSAGE,
                worker_id=self.process.worker_id,
            )
        except LedgerUnavailable:
            return  # It is looked for again.
        self.stage.checks.require_rejected(note, self.process.worker_id)
        self.drop(note, bury=True)


def delivery_of(note: Note) -> Delivery:
    """Which delivery a message is."""
    return Delivery(note.run_id, note.dispatch or 1)
