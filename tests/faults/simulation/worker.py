"""A worker process: it fetches, reserves, begins, executes, writes and acknowledges.

Its threads keep to what Lastword's middleware does, call by call, on the real service.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId
from lastword.policy import OnLoss
from lastword.service.reserving import BEGIN_WITHIN_MS
from lastword.service.values import Delivery, Refusal, Reservation, Sending
from lastword.service.workers import NewWorker
from tests.faults.simulation.actors import BrokerLost
from tests.faults.simulation.journal import Execution
from tests.faults.simulation.moves import Does
from tests.faults.simulation.queues import DELAYED, QUEUE, Note
from tests.faults.simulation.reporting import Reports
from tests.faults.simulation.writer import Writer

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage

HEARTBEAT_MS = 2_000
LEASE_TTL_S = 10.0

#: Messages that a worker has in its hands and has not begun.
PREFETCH = 2
THREADS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A message in a worker's hands; without a reservation if it had no lease to reserve with."""

    note: Note
    reservation: Reservation | None
    since: int


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """One process, whose broker id is its name.

    Attributes:
        lease_until: until when it knows its lease to be live, by its own clock.
    """

    stage: Stage
    name: str
    worker_ids: list[WorkerId] = field(default_factory=list)
    inbox: list[Held] = field(default_factory=list)
    claiming: set[Delivery] = field(default_factory=set)
    waiting: list[Note] = field(default_factory=list)
    lease_until: int = 0
    last_beat_ms: int = 0
    is_stopping: bool = False
    writer: Writer = field(init=False)
    reports: Reports = field(init=False)

    def __post_init__(self) -> None:
        self.writer = Writer(self.stage, self.name)
        self.reports = Reports(self.stage, self)

    def begin(self) -> None:
        """Start the process with its first thread."""
        self._spawn("heart", self._live)

    def stop(self) -> None:
        """Tell it to end."""
        if not self.is_stopping:
            self.is_stopping = True
            self._spawn("end", self._leave)

    @property
    def worker_id(self) -> WorkerId:
        """The worker that it is now."""
        return self.worker_ids[-1]

    def open(self) -> list[Execution]:
        """What it works on."""
        found = self.stage.journal.executions
        return [item for item in found if item.process == self.name and item.is_open]

    def _spawn(self, part: str, body: Callable[[], None]) -> None:
        self.stage.actors.spawn(f"{self.name}/{part}", body, process=self.name)

    def _live(self) -> None:
        self._boot()
        self._spawn("consumer", self._consume)
        self._spawn("delays", self._consume_delayed)
        self._spawn("writer", self.writer.run)
        for number in range(1, THREADS + 1):
            self._spawn(f"thread-{number}", self._work)
        while True:
            self.stage.actors.sleep(HEARTBEAT_MS)
            try:
                self._beat()
            except LedgerUnavailable:
                continue

    def _boot(self) -> None:
        worker_id = WorkerId(f"{self.name}.{len(self.worker_ids) + 1}")
        worker = NewWorker(
            worker_id, "host", 1, "1", THREADS, broker_id=self.name, queues=(QUEUE, DELAYED)
        )
        asked = self.stage.actors.now
        boot = self.stage.workers.boot
        self.stage.actors.insist(lambda: boot(worker, lease_ttl_s=LEASE_TTL_S))
        self.worker_ids.append(worker_id)
        self.lease_until, self.last_beat_ms = asked + int(LEASE_TTL_S * 1000), 0

    def _beat(self) -> None:
        mine = [item for item in self.open() if item.worker_id == self.worker_id]
        asked = self.stage.actors.now
        beat = self.stage.workers.heartbeat(
            self.worker_id,
            lease_ttl_s=LEASE_TTL_S,
            working=[item.run_id for item in mine],
            listed_at_ms=self.last_beat_ms,
            draining=self.is_stopping,
        )
        if beat is None:
            self.lease_until = 0
            self._boot()
            return
        self.lease_until, self.last_beat_ms = asked + int(LEASE_TTL_S * 1000), beat.at_ms
        for item in mine:
            fenced = beat.current.get(item.run_id) != item.attempt
            item.is_cancelled = item.is_cancelled or fenced or item.run_id in beat.cancel
        for held in [held for held in self.inbox if held.note.run_id in beat.cancel]:
            # Another thread may have taken it since.
            if held in self.inbox:
                self.inbox.remove(held)
                self._release([held])
                self.stage.runs.cancel([held.note.run_id], by="operator")

    def _consume(self) -> None:
        queue = self.stage.queues
        while True:
            self.stage.actors.wait_for(
                lambda: (
                    bool(queue.ready[QUEUE]) and len(self.inbox) < PREFETCH and not self.is_stopping
                )
            )
            try:
                self._admit(queue.fetch(QUEUE, self.name, PREFETCH))
            except BrokerLost:
                self.stage.actors.sleep(100)

    def _admit(self, notes: Sequence[Note]) -> None:
        marked = [self._accepted(note) for note in notes]
        asked: dict[Delivery, Note] = {}
        refused: list[tuple[Note, Refusal]] = []
        for note in marked:
            delivery = delivery_of(note)
            if self._works_on(delivery):
                refused.append((note, Refusal.RUNNING))
            elif delivery in asked or any(delivery_of(held.note) == delivery for held in self.inbox):
                refused.append((note, Refusal.HELD))
            else:
                asked[delivery] = note
        since = self.stage.actors.now
        for note, answer in zip(asked.values(), self._reserved(list(asked)), strict=True):
            if answer.refusal not in (None, Refusal.LEASE_LOST):
                refused.append((note, answer.refusal))
            else:
                held = None if answer.refusal else answer
                self.inbox.append(Held(note, held, since))
        for note, why in refused:
            self._refuse(note, why)

    def _accepted(self, note: Note) -> Note:
        if note.dispatch is not None:
            return note
        run = self.stage.new_run(note.run_id, message_ref=note.ref)
        self.stage.actors.insist(lambda: self.stage.runs.accept([run]))
        return replace(note, dispatch=1)

    def _reserved(self, asked: list[Delivery]) -> list[Reservation]:
        answers: list[Reservation] = []
        worker_id = self.worker_id

        def reserve() -> None:
            answers[:] = self.stage.runs.reserve(asked, worker_id=worker_id)

        self.stage.actors.insist(reserve)
        return answers

    def _refuse(self, note: Note, why: Refusal) -> None:
        if why is Refusal.HELD:
            refs: dict[RunId, str | None] = {}
            runs = self.stage.runs
            self.stage.actors.insist(lambda: refs.update(runs.message_refs([note.run_id])))
            if refs.get(note.run_id) == note.ref:
                return
        try:
            self.stage.require_refusable(note)
            bury = why is Refusal.UNKNOWN_RUN
            self.stage.queues.acknowledge(self.name, [note.ref], bury=bury)
        except BrokerLost:
            return

    def _works_on(self, delivery: Delivery) -> bool:
        return any(
            (item.run_id, item.dispatch) == delivery and item.worker_id == self.worker_id
            for item in self.open()
        )

    def _work(self) -> None:
        while True:
            self.stage.actors.wait_for(lambda: bool(self.inbox))
            held = self.inbox.pop(0)
            delivery = delivery_of(held.note)
            if delivery in self.claiming or self._works_on(delivery):
                self._refuse(held.note, Refusal.RUNNING)
                continue
            self.claiming.add(delivery)
            execution = self._begun(held, delivery)
            self.claiming.discard(delivery)
            if execution is not None:
                self._execute(execution)

    def _begun(self, held: Held, delivery: Delivery) -> Execution | None:
        reservation = held.reservation or self._reserved_late(held.note, delivery)
        if reservation is None:
            return None
        if self._may_begin(held, reservation):
            assert reservation.worker_id is not None
            execution = self._execution(held.note, reservation.attempt, reservation.worker_id)
            self.writer.begin(execution)
            return execution
        while True:
            claims: list[tuple[int, WorkerId, Refusal | None]] = []
            worker_id = self.worker_id

            def claim(worker_id: WorkerId = worker_id) -> None:
                [answer] = self.stage.runs.claim([delivery], worker_id=worker_id)
                claims.append((answer.attempt, worker_id, answer.refusal))

            self.stage.actors.insist(claim)
            attempt, worker_id, refusal = claims[-1]
            if refusal is None:
                return self._execution(held.note, attempt, worker_id)
            if refusal is not Refusal.LEASE_LOST:
                self._refuse(held.note, refusal)
                return None
            self.stage.actors.sleep(HEARTBEAT_MS // 4)

    def _reserved_late(self, note: Note, delivery: Delivery) -> Reservation | None:
        while True:
            [answer] = self._reserved([delivery])
            if answer.refusal is None:
                return answer
            if answer.refusal is not Refusal.LEASE_LOST:
                self._refuse(note, answer.refusal)
                return None
            self.stage.actors.sleep(HEARTBEAT_MS // 4)

    def _may_begin(self, held: Held, reservation: Reservation) -> bool:
        now = self.stage.actors.now
        policy = self.stage.policy_of(reservation.run_id)
        return (
            now - held.since < BEGIN_WITHIN_MS
            and not reservation.probation
            and policy.on_worker_lost is OnLoss.REDISPATCH
            and reservation.worker_id == self.worker_id
            and now < self.lease_until
            and self.writer.is_reaching
        )

    def _execution(self, note: Note, attempt: int, worker_id: WorkerId) -> Execution:
        assert note.dispatch is not None
        execution = Execution(
            note.run_id,
            note.dispatch,
            attempt,
            worker_id,
            self.name,
            note.ref,
            note.retries,
            self.stage.actors.now,
        )
        self.stage.begin(execution)
        return execution

    def _execute(self, execution: Execution) -> None:
        does = self.stage.does(execution)
        until = self.stage.actors.now + (70_000 if does is Does.DRAGS else 300)
        self.stage.actors.wait_for(lambda: execution.is_cancelled, until=until)
        if does is Does.KILLS and not execution.is_cancelled:
            self.stage.kill(self.name, is_seen=True)
        self.reports.report(execution, does)

    def _consume_delayed(self) -> None:
        queue, actors = self.stage.queues, self.stage.actors
        while True:
            first = min((note.due_ms for note in self.waiting), default=1 << 60)
            actors.wait_for(lambda: bool(queue.ready[DELAYED]), until=first)
            try:
                if queue.ready[DELAYED]:
                    self.waiting += queue.fetch(DELAYED, self.name, 5)
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
        self.stage.queues.acknowledge(self.name, [note.ref])

    def _release(self, given: Sequence[Held]) -> None:
        for held in given:
            if held.reservation is not None and held.reservation.worker_id is not None:
                delivery = delivery_of(held.note)
                self.stage.runs.release([delivery], worker_id=held.reservation.worker_id)

    def _leave(self) -> None:
        given, self.inbox = self.inbox, []
        self.stage.actors.insist(lambda: self._release(given))
        try:
            self.stage.queues.requeue(self.name, [held.note.ref for held in given])
        except BrokerLost:
            pass
        self.stage.actors.wait_for(self._is_done)
        self.stage.actors.insist(lambda: self.stage.workers.end(self.worker_id))
        self.stage.end_process(self.name)

    def _is_done(self) -> bool:
        busy = self.inbox or self.claiming or self.open() or not self.writer.is_idle
        return bool(self.worker_ids) and not busy


def delivery_of(note: Note) -> Delivery:
    """Which delivery a message is."""
    return Delivery(note.run_id, note.dispatch or 1)
