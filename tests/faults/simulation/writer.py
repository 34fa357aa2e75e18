"""The one thread of a worker that writes its truths in groups, and acknowledges after that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId
from lastword.service.values import AttemptEnd, Beginning, Claim, Delivery, Recorded
from tests.faults.simulation.actors import BrokerLost
from tests.faults.simulation.journal import Execution

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage

Verb = Callable[[Sequence[AttemptEnd]], dict[RunId, Recorded]]


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """An execution with the end to be recorded, by this verb."""

    verb: str
    end: AttemptEnd
    execution: Execution
    buries: bool


@dataclass(slots=True, eq=False)
class Asked:
    """A delivery that is to become an attempt; whoever asked waits until that is recorded.

    Attributes:
        is_taken: whether it is being written: from then on there will be an answer.
        failure: the error that leaves it open whether it was recorded.
    """

    delivery: Delivery
    worker_id: WorkerId
    is_taken: bool = False
    claim: Claim | None = None
    failure: LedgerUnavailable | None = None


@dataclass(slots=True, eq=False)
class Writer:
    """Writes what the threads of one process put.

    Attributes:
        settle: told which messages have left the worker's hands.
        is_reaching: whether the ledger took what it was given last.
    """

    stage: Stage
    process: str
    settle: Callable[[str], None]
    is_reaching: bool = True
    _items: list[Execution | Ended | Asked] = field(default_factory=list)
    _is_writing: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether everything put so far is durable."""
        return not self._items and not self._is_writing

    def begin(self, execution: Execution) -> None:
        """Have a start recorded."""
        self._items.append(execution)

    def end(self, ended: Ended) -> None:
        """Have an end recorded, and the message acknowledged then."""
        self._items.append(ended)

    def claim(self, delivery: Delivery, worker_id: WorkerId) -> Claim:
        """Have a start recorded with what else is written then, and wait for that.

        Raises:
            LedgerUnavailable: not now; it is open whether it is recorded.
        """
        asked = Asked(delivery, worker_id)
        self._items.append(asked)
        self.stage.actors.wait_for(
            lambda: bool(asked.claim or asked.failure) or not (self.is_reaching or asked.is_taken)
        )
        if asked.claim is not None:
            return asked.claim
        if asked in self._items:
            self._items.remove(asked)
        raise asked.failure or LedgerUnavailable("not reached", address="memory")

    def run(self) -> None:
        """Write group after group."""
        while True:
            self.stage.actors.wait_for(lambda: bool(self._items))
            group, self._items = self._items, []
            self._is_writing = True
            began = [item for item in group if isinstance(item, Execution)]
            ended = [item for item in group if isinstance(item, Ended)]
            asked = [item for item in group if isinstance(item, Asked)]
            for question in asked:
                question.is_taken = True
            self._insist(began, ended, asked)
            for item in ended:
                item.execution.is_open = False
            self._is_writing = False
            self._acknowledge(ended)

    def _insist(
        self, began: Sequence[Execution], ended: Sequence[Ended], asked: list[Asked]
    ) -> None:
        while True:
            try:
                self._write(began, ended, asked)
                self.is_reaching = True
                return
            except LedgerUnavailable as error:
                self.is_reaching = False
                for question in asked:
                    question.failure = error
                # Whether they are worth to be asked again is known to those who asked.
                asked.clear()
                self.stage.actors.sleep(100)

    def _write(
        self, began: Sequence[Execution], ended: Sequence[Ended], asked: Sequence[Asked]
    ) -> None:
        runs = self.stage.runs
        starts = {(item.run_id, item.attempt, item.worker_id): item for item in began}
        with self.stage.ledger.transaction():
            brief, others = [], []
            for item in ended:
                key = (item.end.run_id, item.end.attempt, item.end.worker_id)
                start = starts.pop(key, None) if item.verb == "finish" else None
                if start is None:
                    others.append(item)
                else:
                    brief.append((self._told(start), item.end))
            runs.begin([self._told(start) for start in starts.values()])
            runs.begin_and_finish(brief)
            for item in others:
                verb: Verb = getattr(runs, item.verb)
                verb([item.end])
            claims = [runs.claim([it.delivery], worker_id=it.worker_id)[0] for it in asked]
        for question, claim in zip(asked, claims, strict=True):
            question.claim = claim

    def _told(self, execution: Execution) -> Beginning:
        age_s = (self.stage.actors.now - execution.began_ms) / 1000
        return Beginning(
            execution.run_id, execution.dispatch, execution.attempt, execution.worker_id, age_s
        )

    def _acknowledge(self, ended: Sequence[Ended]) -> None:
        for item in ended:
            while True:
                self.stage.checks.require_settled(item.execution)
                try:
                    self.stage.queues.acknowledge(
                        self.process, [item.execution.ref], bury=item.buries
                    )
                    self.settle(item.execution.ref)
                    break
                except BrokerLost:
                    self.stage.actors.sleep(100)
