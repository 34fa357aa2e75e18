"""From what an execution did to what its worker asks of the ledger and of the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lastword.errors import LedgerUnavailable
from lastword.policy import Policy
from lastword.reasons import Reason
from lastword.service.values import AttemptEnd, PutOff, Retry, Sending
from lastword.states import Outcome
from tests.faults.simulation.actors import BrokerLost
from tests.faults.simulation.journal import Execution
from tests.faults.simulation.moves import Does
from tests.faults.simulation.queues import DELAYED, Note
from tests.faults.simulation.writer import Ended

if TYPE_CHECKING:
    from tests.faults.simulation.stage import Stage
    from tests.faults.simulation.worker import WorkerProcess

RETRY_DELAY_S = 5.0

#: The same where a record holds the end meanwhile: somebody reads it.
LONG_DELAY_S = 12.0

#: Seconds for which a run may be put off altogether.
DEFERRED_WITHIN_S = 40.0

#: How an attempt ends that finds this in its record, by verb.
_TOLD = {
    Outcome.SUCCEEDED: ("finish", None),
    Outcome.PARTIALLY_SUCCEEDED: ("finish", Reason.CHILDREN_FAILED),
    Outcome.FAILED: ("fail", Reason.NOT_RETRYABLE),
    Outcome.BLOCKED: ("decline", Reason.WRITE_GATE_BLOCKED),
}

#: What fails, and is tried again.
_RETRIES = {Does.RETRIES, Does.RECORDS_AND_RETRIES}

#: What the children do of those who have some.
_CHILDREN = {
    Does.BEARS: [Does.SUCCEEDS],
    Does.BEARS_BADLY: [Does.THROWS],
    Does.BEARS_BOTH: [Does.SUCCEEDS, Does.THROWS],
}

_ENDS = {
    Does.PARTLY: ("finish", Outcome.PARTIALLY_SUCCEEDED, Reason.CHILDREN_FAILED),
    Does.THROWS: ("fail", Outcome.FAILED, Reason.NOT_RETRYABLE),
    Does.DECLINES: ("decline", Outcome.BLOCKED, Reason.WRITE_GATE_BLOCKED),
}


@dataclass(frozen=True, slots=True)
class Reports:
    """Reports for one worker process."""

    stage: Stage
    process: WorkerProcess

    def report(self, execution: Execution, does: Does) -> None:
        """Bring the end of an execution on its way."""
        if execution.told is not None:
            self._tell(execution, execution.told)
        elif execution.is_cancelled:
            self._end(execution, "cancelled", Outcome.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
        elif does in _RETRIES and execution.retries < self._policy(execution).max_retries:
            self._retry(execution)
        elif does in _RETRIES:
            self._end(execution, "fail", Outcome.FAILED, Reason.RETRIES_EXHAUSTED)
        elif does is Does.DEFERS:
            self._defer(execution)
        elif does in _ENDS:
            self._end(execution, *_ENDS[does])
        else:
            for child in _CHILDREN.get(does, ()):
                self.stage.bear(execution, child)
            self._end(execution, "finish", Outcome.SUCCEEDED, None)

    def _tell(self, execution: Execution, outcome: Outcome) -> None:
        if outcome in _TOLD:
            verb, reason = _TOLD[outcome]
            self._end(execution, verb, outcome, reason)
            return
        # No attempt ends like that by itself: it waits for whoever reads the record.
        self.stage.actors.wait_for(lambda: execution.is_cancelled)
        self._end(execution, "cancelled", outcome, Reason.CANCELLED_BY_OPERATOR)

    def _policy(self, execution: Execution) -> Policy:
        return self.stage.policy_of(execution.run_id)

    def _end(
        self, execution: Execution, verb: str, outcome: Outcome, reason: Reason | None
    ) -> None:
        end = AttemptEnd(execution.run_id, execution.attempt, execution.worker_id, outcome, reason)
        told = (execution.run_id, execution.attempt, execution.worker_id, outcome)
        self.stage.journal.reported.add(told)
        self.process.writer.end(Ended(verb, end, execution, buries=verb == "fail"))

    def _retry(self, execution: Execution) -> None:
        recorded = execution.run_id in self.stage.records.told
        delay_s = LONG_DELAY_S if recorded else RETRY_DELAY_S
        note = self._next_note(execution, retries=execution.retries + 1, delay_s=delay_s)
        self.stage.actors.wait_for(lambda: self.process.writer.is_idle)
        try:
            dispatches = self.stage.runs.retry([self._told(execution, note, delay_s)])
        except LedgerUnavailable:
            dispatches = {}
        if execution.run_id in dispatches:
            self._send(execution, note, dispatches[execution.run_id])
        else:
            self._save_retry(execution)
        self._acknowledge(execution)

    def _save_retry(self, execution: Execution) -> None:
        # The broker is sent nothing: the run is queued without a message, and found so.
        told = self._told(execution, None, 0.0)
        dispatches = self.stage.actors.insist(lambda: self.stage.runs.retry([told]))
        if execution.run_id in dispatches:
            execution.is_open = False
            return
        runs, run_id = self.stage.runs, execution.run_id
        if self.stage.actors.insist(lambda: runs.is_asked_to_stop(run_id)):
            self._end(execution, "cancelled", Outcome.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
        else:
            self._end(execution, "fail", Outcome.FAILED, Reason.THROTTLED)

    def _told(self, execution: Execution, note: Note | None, delay_s: float) -> Retry:
        return Retry(
            execution.run_id,
            execution.attempt,
            execution.worker_id,
            delay_s,
            execution.retries + 1,
            Reason.THROTTLED,
            message_queue=DELAYED if note else None,
            message_ref=note.ref if note else None,
        )

    def _defer(self, execution: Execution) -> None:
        deferral = PutOff(
            execution.run_id,
            execution.attempt,
            execution.worker_id,
            RETRY_DELAY_S,
            DEFERRED_WITHIN_S,
            Reason.THROTTLED,
        )
        self.stage.actors.wait_for(lambda: self.process.writer.is_idle)
        runs = self.stage.runs
        dispatches = self.stage.actors.insist(lambda: runs.defer([deferral]))
        if execution.run_id not in dispatches:
            self._end(execution, "fail", Outcome.FAILED, Reason.THROTTLED)
            return
        execution.is_open = False
        note = self._next_note(execution, retries=execution.retries, delay_s=RETRY_DELAY_S)
        sending = Sending(execution.run_id, dispatches[execution.run_id], DELAYED, note.ref)
        self.stage.actors.insist(lambda: runs.sent([sending]))
        self._send(execution, note, dispatches[execution.run_id])
        self._acknowledge(execution)

    def _next_note(self, execution: Execution, *, retries: int, delay_s: float) -> Note:
        due_ms = self.stage.actors.now + int(delay_s * 1000)
        return Note(self.stage.queues.new_ref(), execution.run_id, None, retries, due_ms)

    def _send(self, execution: Execution, note: Note, dispatch: int) -> None:
        execution.is_open = False
        sent = Note(note.ref, note.run_id, dispatch, note.retries, note.due_ms)
        try:
            self.stage.queues.enqueue(DELAYED, [sent])
        except BrokerLost:
            return

    def _acknowledge(self, execution: Execution) -> None:
        if execution.is_open:
            # The writer does, once it has written the end.
            return
        self.stage.checks.require_settled(execution)
        try:
            self.stage.queues.acknowledge(self.process.name, [execution.ref])
            self.process.consumer.hands.discard(execution.ref)
        except BrokerLost:
            return
