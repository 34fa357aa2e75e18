"""From the end of an attempt to the ledger: succeeded, failed, cancelled, or a retry that was lost.

What ended is put to the writer. The worker's thread goes on with other work at once, unless
something is sent after the run: then its truth is durable first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dramatiq import Message
from dramatiq.broker import Broker, MessageProxy

from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.reasons import Blocked, Reason
from lastword.service.requests import NewRun
from lastword.service.values import AttemptEnd, Retry
from lastword.states import Outcome
from lastword_middleware.covered import operation_of
from lastword_middleware.encoding import encoded
from lastword_middleware.failures import (
    Throws,
    cause_of,
    diagnostics_of,
    failure_entry,
    final_reason,
)
from lastword_middleware.options import DISPATCH
from lastword_middleware.tracker import Tracker
from lastword_middleware.truths import Ended
from lastword_middleware.working import OpenAttempt

#: Options of a message or an actor by which something is sent once the actor is done.
_SEND_AFTERWARDS = frozenset(
    {
        "pipe_target",
        "on_success",
        "on_failure",
        "group_completion_callbacks",
        "group_completion_uuid",
        "on_retry_exhausted",
    }
)


@dataclass(frozen=True, slots=True)
class Ends:
    """Records ends for the worker that `tracker` is."""

    tracker: Tracker

    def returned(self, broker: Broker, attempt: OpenAttempt, result: Any) -> None:
        """The actor returned: its run is done, and its pipeline's next stage accepted with it."""
        # A run that succeeded in part says why it is not whole.
        reason = Reason(attempt.run.failures[0]["code"]) if attempt.run.failures else None
        end = _end(attempt, attempt.run.outcome, reason)
        follow_up = self._follow_up(broker, attempt.message, result)
        self._record(attempt, "finish", end, follow_up, waits=_sends_afterwards(broker, attempt))

    def failed(self, broker: Broker, attempt: OpenAttempt, exception: BaseException) -> None:
        """The queue gave the attempt up."""
        message = attempt.message
        if isinstance(exception, Blocked):
            # It is done with: nothing was tried, so the queue has nothing to bury.
            message.failed = False
            told = replace(
                _end(attempt, Outcome.BLOCKED, exception.reason),
                failures=(*attempt.run.failures, failure_entry(exception)),
                diagnostics=diagnostics_of(exception),
            )
            self._record(attempt, "decline", told, exception=exception)
            return
        throws: Throws = message.options.get("throws") or broker.get_actor(
            message.actor_name
        ).options.get("throws")
        waits = _sends_afterwards(broker, attempt)
        self._fail(attempt, exception, final_reason(exception, throws), waits=waits)

    def cancelled(self, attempt: OpenAttempt, exception: BaseException) -> None:
        """The attempt was asked to stop, and did."""
        end = _end(attempt, Outcome.CANCELLED, Reason.CANCELLED_BY_OPERATOR)
        told = replace(end, diagnostics=diagnostics_of(exception))
        self._record(attempt, "cancelled", told, exception=exception)

    def rejected(self, attempt: OpenAttempt) -> None:
        """Another middleware skipped the delivery after its run was begun."""
        self._record(attempt, "fail", _end(attempt, Outcome.FAILED, Reason.REJECTED))

    def overdue(self, attempt: OpenAttempt) -> None:
        """The attempt went on past its limit, whatever was raised in it: its run ends without it.

        What it still reports is a late result.
        """
        end = _end(attempt, Outcome.FAILED, Reason.TIME_LIMIT_EXCEEDED)
        told = replace(
            end, diagnostics="the attempt did not stop when its time limit was raised in its thread"
        )
        assert self.tracker.writer is not None
        # Its thread may never come back.
        self.tracker.tracing.end(attempt, end.outcome, end.reason)
        if self._has_bridge(attempt):
            self.tracker.writer.put(Ended("fail", told, None, lambda written: None))

    def lost_retry(self, attempt: OpenAttempt, exception: BaseException) -> None:
        """Dramatiq swallowed what went wrong with a retry, and acknowledges the message.

        The run goes back to the queue; the reconciler finds it without a message and sends it.
        """
        run = attempt.run
        if attempt.retries >= self.tracker.config.policy(run.operation).max_retries:
            self._fail(attempt, exception, Reason.RETRY_LOST)
            return
        retry = Retry(
            run_id=run.run_id,
            attempt=run.attempt,
            worker_id=attempt.worker_id,
            delay_s=0.0,
            retries=attempt.retries + 1,
            reason=cause_of(exception),
            diagnostics=diagnostics_of(exception),
        )
        self.tracker.require_written()
        retried = self.tracker.persist_or_stop(
            lambda: self.tracker.runs.retry([retry]), what="retry", run_id=run.run_id
        )
        if run.run_id in retried:
            log_notice(logging.ERROR, "retry_lost", run=run.run_id, attempt=run.attempt)
            self.tracker.count_swallowed("retry_lost")
            self.tracker.tracing.end(attempt, Outcome.PENDING, retry.reason, exception)
            self.tracker.work.settle(attempt)
        elif self._was_asked_to_stop(run.run_id):
            self.cancelled(attempt, exception)
        else:
            self._fail(attempt, exception, cause_of(exception))

    def _was_asked_to_stop(self, run_id: RunId) -> bool:
        # Perhaps since the last beat.
        return self.tracker.persist_or_stop(
            lambda: self.tracker.runs.is_asked_to_stop(run_id), what="look", run_id=run_id
        )

    def barely(self, attempt: OpenAttempt, exception: BaseException | None) -> None:
        """The end without anything that could have kept it from being written."""
        if exception is None:
            self._record(attempt, "finish", _bare(attempt, attempt.run.outcome, reason=None))
        else:
            end = _bare(attempt, Outcome.FAILED, reason=cause_of(exception))
            self._record(attempt, "fail", end, exception=exception)

    def _fail(
        self,
        attempt: OpenAttempt,
        exception: BaseException,
        reason: Reason,
        *,
        waits: bool = False,
    ) -> None:
        if not self._has_bridge(attempt):
            # Nobody works on it any more, and the next sweep finds it so.
            log_notice(logging.WARNING, "failure_not_carried", run=attempt.run.run_id, why=reason)
            self.tracker.tracing.end(attempt, Outcome.FAILED, reason, exception)
            self.tracker.work.settle(attempt)
            return
        end = _end(attempt, Outcome.FAILED, reason)
        told = replace(
            end,
            failures=(*end.failures, failure_entry(exception)),
            diagnostics=diagnostics_of(exception),
        )
        self._record(attempt, "fail", told, waits=waits, exception=exception)

    def _has_bridge(self, attempt: OpenAttempt) -> bool:
        return self.tracker.config.policy(attempt.run.operation).direct_bridge

    def _record(
        self,
        attempt: OpenAttempt,
        verb: str,
        end: AttemptEnd,
        follow_up: NewRun | None = None,
        *,
        waits: bool = False,
        exception: BaseException | None = None,
    ) -> None:
        self.tracker.tracing.end(attempt, end.outcome, end.reason, exception)
        writer = self.tracker.writer
        assert writer is not None, "attempts are begun by workers only"
        if self.tracker.defers_acks:
            self.tracker.work.defer(attempt.message)
        writer.put(Ended(verb, end, follow_up, partial(self._settled, attempt)))
        if waits or not self.tracker.defers_acks:
            writer.drain()

    def _settled(self, attempt: OpenAttempt, written: bool) -> None:
        del written  # Unwritten, it is no longer worked on either, and the reconciler finds it so.
        self.tracker.work.settle(attempt)

    def _follow_up(self, broker: Broker, message: MessageProxy, result: Any) -> NewRun | None:
        # A crash between this run's last word and Dramatiq's sending of the next stage would end
        # the pipeline without a trace: a later delivery finds the run completed.
        target = message.options.get("pipe_target")
        if not isinstance(target, dict):
            return None
        stage: Message[Any] = Message(**target)
        operation = operation_of(broker, stage.actor_name)
        if operation is None:
            return None
        options = broker.get_actor(message.actor_name).options
        if not (stage.options.get("pipe_ignore") or options.get("pipe_ignore")):
            stage = stage.copy(args=(*stage.args, result))
        stage = self.tracker.tracing.carried(stage)
        config = self.tracker.config
        try:
            payload = encoded(
                stage.copy(options={DISPATCH: 1}), max_payload_bytes=config.max_payload_bytes
            )
        except LastwordError as error:
            log_notice(logging.ERROR, "follow_up_refused", run=message.message_id, why=error)
            return None
        return NewRun(
            run_id=RunId(stage.message_id),
            policy=config.policy(operation),
            actor_name=stage.actor_name,
            payload=payload,
            delay_s=(stage.options.get("delay") or 0) / 1000,
        )


def _sends_afterwards(broker: Broker, attempt: OpenAttempt) -> bool:
    for options in (
        attempt.message.options,
        broker.get_actor(attempt.message.actor_name).options,
    ):
        named = _SEND_AFTERWARDS.intersection(options)
        if named and any(options[option] for option in named):
            return True
    return False


def _bare(attempt: OpenAttempt, outcome: Outcome, *, reason: Reason | None) -> AttemptEnd:
    return AttemptEnd(attempt.run.run_id, attempt.run.attempt, attempt.worker_id, outcome, reason)


def _end(attempt: OpenAttempt, outcome: Outcome, reason: Reason | None = None) -> AttemptEnd:
    run = attempt.run
    return AttemptEnd(
        run_id=run.run_id,
        attempt=run.attempt,
        worker_id=attempt.worker_id,
        outcome=outcome,
        reason=reason,
        counts=run.counts,
        failures=tuple(run.failures),
        context=run.context,
    )
