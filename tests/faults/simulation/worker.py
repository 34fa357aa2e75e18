"""A worker process: it fetches, reserves, begins, executes, writes and acknowledges.

Its threads keep to what Lastword's middleware does, call by call, on the real service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lastword.errors import LedgerUnavailable
from lastword.identity import WorkerId
from lastword.service.values import Delivery, Refusal
from lastword.service.workers import NewWorker, Progress
from tests.faults.simulation.actors import BrokerLost
from tests.faults.simulation.beginning import Beginnings
from tests.faults.simulation.consuming import Consumer, Held, delivery_of
from tests.faults.simulation.journal import Execution
from tests.faults.simulation.moves import Does
from tests.faults.simulation.queues import DELAYED, QUEUE
from tests.faults.simulation.reporting import Reports
from tests.faults.simulation.writer import Writer

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage

HEARTBEAT_MS = 2_000
LEASE_TTL_S = 10.0

#: Attempts at once.
THREADS = 2

#: Of what executions do: those that end their process, and those that write a record.
KILLS = {Does.KILLS, Does.RECORDS_AND_KILLS}
RECORDS = {Does.RECORDS, Does.RECORDS_AND_KILLS, Does.RECORDS_AND_RETRIES}

#: Milliseconds that some take: longer than they may, and so long that much happens meanwhile.
LASTS_MS = {Does.DRAGS: 70_000, Does.RETRIES: 1_900}


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """One process, whose broker id is its name.

    Attributes:
        lease_until: until when it knows its lease to be live, by its own clock.
    """

    stage: Stage
    name: str
    worker_ids: list[WorkerId] = field(default_factory=list)
    claiming: set[Delivery] = field(default_factory=set)
    lease_until: int = 0
    last_beat_ms: int = 0
    is_stopping: bool = False
    consumer: Consumer = field(init=False)
    beginnings: Beginnings = field(init=False)
    writer: Writer = field(init=False)
    reports: Reports = field(init=False)

    def __post_init__(self) -> None:
        self.consumer = Consumer(self.stage, self)
        self.beginnings = Beginnings(self.stage, self)
        self.writer = Writer(self.stage, self.name, settle=self.consumer.hands.discard)
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
        self._spawn("consumer", self.consumer.consume)
        self._spawn("delays", self.consumer.consume_delayed)
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
            working=[
                *(item.run_id for item in mine),
                *sorted(run_id for run_id, _ in self.claiming),
            ],
            listed_at_ms=self.last_beat_ms,
            progress=self._progress(mine),
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
        for held in [held for held in self.consumer.inbox if held.note.run_id in beat.cancel]:
            # Another thread may have taken it since.
            if held in self.consumer.inbox:
                self.consumer.inbox.remove(held)
                self._release([held])
                self.stage.runs.cancel([held.note.run_id], by="operator")

    def works_on(self, delivery: Delivery) -> bool:
        """Whether some message of that dispatch has become an attempt of this worker."""
        return any(
            (item.run_id, item.dispatch) == delivery and item.worker_id == self.worker_id
            for item in self.open()
        )

    def _work(self) -> None:
        while True:
            self.stage.actors.wait_for(lambda: bool(self.consumer.inbox))
            held = self.consumer.inbox.pop(0)
            delivery = delivery_of(held.note)
            if self.beginnings.is_rejected(held.note, delivery):
                continue
            if delivery in self.claiming or self.works_on(delivery):
                self.consumer.refuse(held.note, Refusal.RUNNING)
                continue
            self.claiming.add(delivery)
            execution = self.beginnings.begun(held, delivery)
            self.claiming.discard(delivery)
            if execution is not None:
                self._execute(execution)

    def _execute(self, execution: Execution) -> None:
        does, actors = self.stage.does(execution), self.stage.actors
        if does in RECORDS:
            execution.told = self.stage.records.begin(execution)
        actors.wait_for(lambda: execution.is_cancelled, until=actors.now + self._takes(execution))
        if does in RECORDS and not execution.told and not execution.is_cancelled:
            told = self.stage.records.end(execution)
            execution.told = told if does is Does.RECORDS else None
        if does in KILLS and not execution.is_cancelled:
            self.stage.kill(self.name, is_seen=True)
        self.reports.report(execution, does)

    def _takes(self, execution: Execution) -> int:
        does = self.stage.does(execution)
        if does in LASTS_MS:
            return LASTS_MS[does]
        # So that a heartbeat can tell how far it has come.
        return 5_000 if self.stage.policy_of(execution.run_id).partial_on_loss else 300

    def _progress(self, mine: Sequence[Execution]) -> list[Progress]:
        counting = [item for item in mine if self.stage.policy_of(item.run_id).partial_on_loss]
        self.stage.journal.in_parts.update(item.run_id for item in counting)
        return [Progress(item.run_id, item.attempt, {"processed": 1}) for item in counting]

    def _release(self, given: Sequence[Held]) -> None:
        for held in given:
            if held.reservation is not None and held.reservation.worker_id is not None:
                delivery = delivery_of(held.note)
                self.stage.runs.release([delivery], worker_id=held.reservation.worker_id)

    def _leave(self) -> None:
        given, self.consumer.inbox = self.consumer.inbox, []
        self.stage.actors.insist(lambda: self._release(given))
        with contextlib.suppress(BrokerLost):
            self.stage.queues.requeue(self.name, [held.note.ref for held in given])
        self.stage.actors.wait_for(self._is_done)
        self.stage.actors.insist(lambda: self.stage.workers.end(self.worker_id))
        self.stage.end_process(self.name)

    def _is_done(self) -> bool:
        busy = self.consumer.inbox or self.claiming or self.open() or not self.writer.is_idle
        return bool(self.worker_ids) and not busy
