"""A broker as Dramatiq's Redis is one: queues, holds, delays, dead letters; and it forgets.

Each command is one instant. What the product asks of a broker it asks here too: `look` and
`release` for its reconciler, `send_all` for whoever sends runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lastword.application import Letter
from lastword.identity import RunId
from lastword.service import RunService
from lastword.service.values import Redispatched, Sending
from lastword_scheduler.probe import MessageEvidence, MessageState, Whereabouts
from tests.faults.simulation.actors import Actors, BrokerLost

QUEUE = "default"
DELAYED = "default.DQ"


@dataclass(frozen=True, slots=True)
class Note:
    """A message.

    Attributes:
        dispatch: None for one that was sent without Lastword.
        due_ms: when it may be handed on, in a delay queue.
        is_garbled: whether nobody can read it any more, but its id.
        is_forged: whether it asks for something else than was accepted.
    """

    ref: str
    run_id: RunId
    dispatch: int | None
    retries: int = 0
    due_ms: int = 0
    is_garbled: bool = False
    is_forged: bool = False


@dataclass(slots=True)
class Queues:
    """The broker.

    Attributes:
        ready_since: when a message came to its queue, in calls; those that wait there only.
    """

    actors: Actors
    ready: dict[str, list[str]] = field(default_factory=lambda: {QUEUE: [], DELAYED: []})
    notes: dict[str, Note] = field(default_factory=dict)
    holds: dict[str, dict[str, str]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    ready_since: dict[str, int] = field(default_factory=dict)
    _refs: int = 0

    def new_ref(self) -> str:
        """An id for a message that is about to be sent."""
        self._refs += 1
        return f"ref-{self._refs:04}"

    def enqueue(self, queue: str, notes: Sequence[Note]) -> None:
        """Take messages."""
        answer = self.actors.broker_call()
        for note in notes:
            self.put(queue, note)
        answer()

    def put(self, queue: str, note: Note) -> None:
        """Take a message, with the command of the caller."""
        self.notes[note.ref] = note
        self._append(queue, note.ref)

    def fetch(self, queue: str, holder: str, most: int) -> list[Note]:
        """Hand out messages, and note who has them. An answer that is lost leaves them there."""
        answer = self.actors.broker_call()
        waiting = self.ready[queue]
        taken, self.ready[queue] = waiting[:most], waiting[most:]
        hold = self.holds.setdefault(holder, {})
        for ref in taken:
            self.ready_since.pop(ref, None)
            hold[ref] = queue
        answer()
        return [self.notes[ref] for ref in taken if ref in self.notes]

    def acknowledge(self, holder: str, refs: Sequence[str], *, bury: bool = False) -> None:
        """Drop messages of one's own hold, or hand them to the dead letters."""
        answer = self.actors.broker_call()
        hold = self.holds.get(holder, {})
        for ref in refs:
            if hold.pop(ref, None) is not None:
                self.notes.pop(ref, None)
                if bury:
                    self.dead.add(ref)
        answer()

    def held(self, queue: str, holder: str) -> set[str]:
        """What it believes somebody to hold of a queue; of no call."""
        return {ref for ref, of in self.holds.get(holder, {}).items() if of == queue}

    def believed(self, queue: str, holder: str) -> list[Note]:
        """What it believes somebody to hold of a queue."""
        answer = self.actors.broker_call()
        found = [self.notes[ref] for ref in sorted(self.held(queue, holder)) if ref in self.notes]
        answer()
        return found

    def spoil(self, ref: str, how: str) -> None:
        """Somebody changes a message where it lies."""
        note = self.notes[ref]
        garbled = how == "garbled"
        self.notes[ref] = replace(note, is_garbled=garbled, is_forged=not garbled)

    def requeue(self, holder: str, refs: Sequence[str]) -> None:
        """Give messages of one's own hold back to their queue."""
        answer = self.actors.broker_call()
        self._give_back(holder, refs)
        answer()

    def give_back(self, holder: str) -> None:
        """Give all that a dead worker holds back to the queues."""
        answer = self.actors.broker_call()
        self._give_back(holder, list(self.holds.get(holder, ())))
        answer()

    def flush(self) -> None:
        """Forget everything."""
        self.ready = {QUEUE: [], DELAYED: []}
        self.notes.clear()
        self.holds.clear()
        self.dead.clear()
        self.ready_since.clear()

    def waits_for(self, run_id: str, dispatch: int, ref: str | None) -> int | None:
        """Since which call this message of a run has waited in its queue without a pause."""
        note = self.notes.get(ref or "")
        if note is None or (note.run_id, note.dispatch) != (run_id, dispatch):
            return None
        return self.ready_since.get(note.ref)

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """See `Probe`."""
        try:
            answer = self.actors.broker_call()
            found = {message.run_id: self._evidence(message) for message in messages}
            answer()
        except BrokerLost:
            lost = MessageEvidence(MessageState.UNREACHABLE)
            return {message.run_id: lost for message in messages}
        return found

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """See `Probe`."""
        del queue
        try:
            answer = self.actors.broker_call()
            released = self._give_back(holder, refs)
            answer()
        except BrokerLost:
            return 0
        return released

    def _give_back(self, holder: str, refs: Sequence[str]) -> int:
        hold = self.holds.get(holder, {})
        given = 0
        for ref in refs:
            queue = hold.pop(ref, None)
            if queue is not None and ref in self.notes:
                self._append(queue, ref)
                given += 1
        return given

    def _append(self, queue: str, ref: str) -> None:
        self.ready[queue].append(ref)
        self.ready_since[ref] = self.actors.calls

    def _evidence(self, message: Whereabouts) -> MessageEvidence:
        ref = message.ref
        if message.queue is None or ref is None:
            return MessageEvidence(MessageState.GONE)
        if ref in self.notes:
            holder = next((name for name, hold in self.holds.items() if ref in hold), None)
            if holder is not None:
                return MessageEvidence(MessageState.HELD, holder)
            return MessageEvidence(MessageState.READY)
        return MessageEvidence(
            MessageState.DEAD_LETTERED if ref in self.dead else MessageState.GONE
        )


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends runs again as the product's own dispatcher does: recorded first, sent then."""

    queues: Queues
    runs: RunService

    def send_all(self, runs: Sequence[Redispatched]) -> None:
        """See `lastword.application.Dispatcher`."""
        notes: list[tuple[str, Note]] = []
        for run in runs:
            due_ms = self.queues.actors.now + run.delay_ms if run.delay_ms else 0
            note = Note(self.queues.new_ref(), run.run_id, run.dispatch, run.retries, due_ms)
            notes.append((DELAYED if run.delay_ms else QUEUE, note))
        self.runs.sent([Sending(n.run_id, n.dispatch or 0, queue, n.ref) for queue, n in notes])
        for queue, note in notes:
            self.queues.enqueue(queue, [note])

    def compose(
        self, operation: str, asked: Sequence[tuple[RunId, Mapping[str, Any]]], *, delay_ms: int = 0
    ) -> list[Letter]:
        """Never asked of it."""
        raise NotImplementedError

    def template(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """Never asked of it."""
        raise NotImplementedError

    def post(self, letters: Sequence[Letter], *, delay_ms: int = 0) -> None:
        """Never asked of it."""
        raise NotImplementedError
