"""Tracks attempts: begins a run before its actor starts, records its end when the actor is done.

Stands directly before Dramatiq's Retries, so that its after-hook runs once Retries has decided, and
before any follow-up message of a pipeline or callback is sent.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware

from lastword.current import CurrentRun, enter_run, leave_run
from lastword.reasons import Deferral
from lastword.service.values import Beginning, Claim, Refusal, Reservation
from lastword_middleware.claims import Claims
from lastword_middleware.covered import operation_of, time_limit_s
from lastword_middleware.deferring import Deferring
from lastword_middleware.ends import Ends
from lastword_middleware.errors import ClaimFailed, DeliveryRefused
from lastword_middleware.gate import Gatekeeper
from lastword_middleware.options import dispatch_of
from lastword_middleware.ordering import Place
from lastword_middleware.tracker import Tracker
from lastword_middleware.truths import Began
from lastword_middleware.working import OpenAttempt


class TrackAttempts(Middleware):
    """One start before the actor, one recorded end after it; nothing runs untracked.

    Args:
        tracker: the state shared with `TrackMessages`.
    """

    stands = Place.BEFORE_RETRIES

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._claims = Claims(tracker)
        self._gate = Gatekeeper.of(tracker, self._claims)
        self._ends = Ends(tracker)
        self._deferring = Deferring(tracker)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Begin the run, or skip a delivery that may not start it.

        Raises:
            DeliveryRefused: the delivery means nothing any more, or must wait.
            ClaimFailed: the delivery could not be judged; the actor does not run.
        """
        if operation_of(broker, message.actor_name) is None:
            return
        try:
            self._begin(broker, message)
        except DeliveryRefused:
            raise
        except Exception as error:
            # Dramatiq would swallow it and run the actor untracked.
            raise ClaimFailed.because(error) from error

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Record how the attempt ended. A second call of Dramatiq finds it settled."""
        attempt = self.tracker.work.attempt_of(message)
        if attempt is None or self.tracker.work.is_deferred(message):
            return
        leave_run()
        try:
            if exception is None and message.failed:
                # `message.fail()` without an exception: refused, perhaps before the actor ran.
                self._ends.rejected(attempt)
            elif exception is None:
                self._ends.returned(broker, attempt, result)
            elif attempt.is_cancelled:
                self._ends.cancelled(attempt, exception)
            elif message.failed:
                self._gave_up(broker, attempt, exception)
            else:
                self._ends.lost_retry(attempt, exception)
        except Exception:
            # Dramatiq would swallow it, and the run would stay `running` with a worker that
            # vouches for it.
            logging.getLogger("lastword").exception("the end of run %s", attempt.run.run_id)
            self._ends.barely(attempt, exception)
        self.tracker.work.here.attempt = None

    def _gave_up(self, broker: Broker, attempt: OpenAttempt, exception: BaseException) -> None:
        if isinstance(exception, Deferral) and self._deferring.put_off(broker, attempt, exception):
            return
        self._ends.failed(broker, attempt, exception)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """A middleware behind this one skipped a delivery whose run was begun already."""
        attempt = self.tracker.work.attempt_of(message)
        if attempt is not None:
            leave_run()
            self._ends.rejected(attempt)
            self.tracker.work.here.attempt = None

    def _begin(self, broker: Broker, message: MessageProxy) -> None:
        # The ledger cannot tell two threads of one worker apart: a claim it sees twice may be one
        # whose answer was lost.
        if not self.tracker.work.reserve(message, self.tracker.worker_id):
            self._claims.refuse(message, Refusal.RUNNING)
        try:
            held = self._claims.hold(broker, message)
            self._gate.admit(message, held.reservation)
            if self._claims.may_begin(held):
                attempt = self._open(broker, message, held.reservation)
                self._put_beginning(attempt, message)
            else:
                attempt = self._open(broker, message, self._claims.claim(message))
        finally:
            self.tracker.work.end_claim(message)
        self.tracker.tracing.begin(attempt)

    def _put_beginning(self, attempt: OpenAttempt, message: MessageProxy) -> None:
        run, writer = attempt.run, self.tracker.writer
        dispatch = dispatch_of(message.options)
        assert writer is not None
        assert dispatch is not None, "what is held carries its dispatch"
        beginning = Beginning(run.run_id, dispatch, run.attempt, attempt.worker_id)
        writer.put(Began(beginning, attempt.began))

    def _open(
        self, broker: Broker, message: MessageProxy, claim: Claim | Reservation
    ) -> OpenAttempt:
        worker_id = claim.worker_id
        assert worker_id is not None, "a claim that was granted names its worker"
        run = CurrentRun(
            run_id=claim.run_id,
            operation=claim.operation,
            attempt=claim.attempt,
            tenant_id=claim.tenant_id,
            workspace_id=claim.workspace_id,
            initiator_id=claim.initiator_id,
        )
        if claim.context != "{}":
            run.remember(**json.loads(claim.context))
        enter_run(run)
        attempt = OpenAttempt(
            run=run,
            worker_id=worker_id,
            message=message,
            retries=message.options.get("retries", 0),
            limit_s=time_limit_s(broker, message),
            dispatch=dispatch_of(message.options),
        )
        self.tracker.work.open(attempt)
        return attempt
