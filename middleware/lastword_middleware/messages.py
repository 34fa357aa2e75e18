"""Tracks what the queue does with messages: sends, retries, hops, skips, rejections, acks.

Stands first in the list of middleware.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from dramatiq import Actor, Message
from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import AgeLimit, Middleware
from dramatiq.worker import ConsumerThread, Worker, WorkerThread

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, is_run_id
from lastword.reasons import Reason
from lastword.service.requests import Acceptance, NewRun
from lastword.service.values import Rejection, Retry, Sending
from lastword.states import Outcome
from lastword.storage.schema import require_current_schema
from lastword_middleware.covered import cover, operation_of, require_inside
from lastword_middleware.dispatch import is_recorded
from lastword_middleware.encoding import canonical, encoded
from lastword_middleware.errors import HoldMessage, SendRefused
from lastword_middleware.failures import cause_of, diagnostics_of
from lastword_middleware.life import WorkerLife
from lastword_middleware.options import DISPATCH, dispatch_of
from lastword_middleware.ordering import Place
from lastword_middleware.tracker import Tracker
from lastword_middleware.working import OpenAttempt


class TrackMessages(Middleware):
    """Keeps the ledger ahead of the queue: a run's row is written before its message is sent.

    Args:
        tracker: the state shared with `TrackAttempts`.
    """

    stands = Place.FIRST

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._life = WorkerLife(tracker)

    @property
    def actor_options(self) -> set[str]:
        """`operation`: the operation whose runs this actor does."""
        return {"operation"}

    def before_declare_actor(self, broker: Broker, actor: Actor[Any, Any]) -> None:
        """Give covered actors the options of their policy, or refuse them."""
        cover(actor, self.tracker.config)

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Register this process as a worker before it fetches its first message."""
        self._life.begin(broker, worker)

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Nothing new is claimed from here on if the ledger is down; what runs may still end."""
        self._life.leave()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """End this worker; attempts that it abandons are lost with it, and judged at once."""
        self._life.end()

    def before_worker_thread_shutdown(self, broker: Broker, thread: WorkerThread) -> None:
        """Close what a worker thread has open in the ledger."""
        self.tracker.ledger.leave_thread()

    def before_consumer_thread_shutdown(self, broker: Broker, thread: ConsumerThread) -> None:
        """Close what a consumer thread has open in the ledger."""
        self.tracker.ledger.leave_thread()

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        """Write what this sending means before the message exists.

        Raises:
            SendRefused: it could not be written; nothing is sent.
        """
        operation = operation_of(broker, message.actor_name)
        dispatch = dispatch_of(message.options)
        if (operation is None and dispatch is None) or is_recorded(message):
            return
        try:
            require_current_schema(self.tracker.ledger)
            self._write(message, operation=operation, dispatch=dispatch, delay=delay)
        except SendRefused:
            raise
        except Exception as error:
            # Dramatiq would swallow it and send the message with no run behind it.
            raise SendRefused.because(error) from error

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """One less waits for a thread: the consumer may hand out another."""
        hands = self.tracker.hands.get(message.queue_name)
        if hands is not None:
            hands.begin(message.options.get("redis_message_id", ""))

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """A middleware before the tracking of attempts broke: what was held was never begun.

        The attempt's trace is left only here: what follows up the run was sent before this.
        """
        self.tracker.tracing.leave()
        held = self.tracker.reservations.take(message)
        if held is not None:
            self.tracker.give_back([held])

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """Another middleware gave up on this delivery before it became an attempt."""
        self.tracker.tracing.leave()
        dispatch = dispatch_of(message.options)
        refused_here = self.tracker.work.here.refused is message
        self.tracker.reservations.take(message)
        self.tracker.work.here.refused = None
        # One that was begun ends with its attempt, which the writer has.
        was_begun = self.tracker.work.is_deferred(message)
        if dispatch is not None and not refused_here and not was_begun:
            aged = message.failed and _has_age_limit(broker, message)
            self._reject(message, dispatch, Reason.AGE_LIMIT_EXCEEDED if aged else Reason.REJECTED)

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """The only sign of a message whose actor is not known here."""
        dispatch = dispatch_of(message.options)
        if dispatch is not None and message.actor_name not in broker.actors:
            self._reject(message, dispatch, Reason.UNKNOWN_ACTOR)
        self._require_settled(message)

    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        """Refuse to acknowledge what the ledger does not hold yet."""
        self._require_settled(message)

    def _write(
        self,
        message: Message[Any],
        *,
        operation: str | None,
        dispatch: int | None,
        delay: int | None,
    ) -> None:
        # Retries sends from inside the attempt's own thread.
        attempt = self.tracker.work.here.attempt
        is_own = attempt is not None and attempt.run.run_id == message.message_id
        if dispatch is None:
            self._accept(message, str(operation), delay)
        elif attempt and is_own and message.options.get("retries", 0) > attempt.retries:
            self._retry(message, attempt, delay)
        else:
            self._sent(message, dispatch)

    def _accept(self, message: Message[Any], operation: str, delay: int | None) -> None:
        self._refuse_inside_a_transaction()
        policy = self.tracker.config.offered(operation)
        require_inside(policy, message.options, place="a message")
        if not is_run_id(message.message_id):
            raise SendRefused(
                f"a message of operation {operation!r} has the id {message.message_id!a}",
                expected="1 to 64 characters that can be printed: it is the id of its run",
            )
        message.options[DISPATCH] = 1
        run = NewRun(
            run_id=RunId(message.message_id),
            policy=policy,
            actor_name=message.actor_name,
            payload=encoded(
                canonical(message), max_payload_bytes=self.tracker.config.max_payload_bytes
            ),
            delay_s=(delay or 0) / 1000,
            message_queue=message.queue_name,
            message_ref=message.options.get("redis_message_id"),
        )
        self._persist(lambda: self._accepted(run), what="accept", run_id=run.run_id)

    def _refuse_inside_a_transaction(self) -> None:
        # On SQLite the application's transaction holds the whole file: this thread would wait for
        # itself until the wait is over.
        application = self.tracker.application
        if application and application.is_one_file and application.database.in_transaction():
            raise SendRefused(
                "send() was called inside a transaction on the ledger's own SQLite file",
                expected="a run that is accepted with the transaction, or after it",
                mend="use lastword.start(), which joins the transaction, or send after it",
            )

    def _accepted(self, run: NewRun) -> None:
        [accepted] = self.tracker.runs.accept([run])
        if accepted.result is Acceptance.DEDUPED:
            # The next stage of a pipeline, accepted with the end of the one before.
            self.tracker.runs.sent(
                [Sending(run.run_id, 1, run.message_queue or "", run.message_ref)]
            )

    def _retry(self, message: Message[Any], attempt: OpenAttempt, delay: int | None) -> None:
        if attempt.is_cancelled:
            raise SendRefused(f"run {attempt.run.run_id} was asked to stop")
        exception = sys.exception()
        run_id = attempt.run.run_id
        reason = cause_of(exception) if exception else Reason.UNKNOWN_ERROR
        self.tracker.require_written()
        dispatches = self.tracker.runs.retry(
            [
                Retry(
                    run_id=run_id,
                    attempt=attempt.run.attempt,
                    worker_id=attempt.worker_id,
                    delay_s=(delay or 0) / 1000,
                    retries=message.options["retries"],
                    reason=reason,
                    diagnostics=diagnostics_of(exception) if exception else "",
                    message_queue=message.queue_name,
                    message_ref=message.options.get("redis_message_id"),
                )
            ]
        )
        if run_id not in dispatches:
            raise SendRefused(
                f"run {run_id} was closed, handed on or asked to stop while this attempt worked"
            )
        message.options[DISPATCH] = dispatches[run_id]
        self.tracker.tracing.end(attempt, Outcome.PENDING, reason, exception)
        self.tracker.work.settle(attempt)

    def _sent(self, message: Message[Any], dispatch: int) -> None:
        sending = Sending(
            run_id=RunId(message.message_id),
            dispatch=dispatch,
            message_queue=message.queue_name,
            message_ref=message.options.get("redis_message_id"),
        )
        self._persist(lambda: self.tracker.runs.sent([sending]), what="send", run_id=sending.run_id)

    def _persist(self, write: Callable[[], object], *, what: str, run_id: RunId) -> None:
        # A caller is told at once that the ledger is down. Inside a worker nobody would be, for
        # Dramatiq swallows a follow-up's error and drops a delayed message: there it is waited for.
        if self.tracker.worker_id is None:
            write()
        else:
            self.tracker.persist_or_stop(write, what=what, run_id=run_id)

    def _reject(self, message: MessageProxy, dispatch: int, reason: Reason) -> None:
        run_id = RunId(message.message_id)
        rejection = Rejection(run_id, dispatch, reason, worker_id=self.tracker.worker_id)
        try:
            self.tracker.persist_or_stop(
                lambda: self.tracker.runs.reject([rejection]), what="reject", run_id=run_id
            )
        except LedgerUnavailable:
            self.tracker.work.here.held = message

    def _require_settled(self, message: MessageProxy) -> None:
        held = self.tracker.work.here.held is message
        self.tracker.work.here.held = None
        if self.tracker.work.is_deferred(message):
            return
        if held or self.tracker.work.attempt_of(message) is not None:
            raise HoldMessage(
                f"message {message.message_id} is kept unacknowledged: "
                "the ledger does not hold its end yet"
            )


def _has_age_limit(broker: Broker, message: MessageProxy) -> bool:
    actor = broker.actors.get(message.actor_name)
    limits = [message.options.get("max_age"), actor.options.get("max_age") if actor else None]
    limits += [item.max_age for item in broker.middleware if isinstance(item, AgeLimit)]
    return any(limits)
