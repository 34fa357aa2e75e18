"""Tracks attempts: claims a run before its actor starts, records its end when the actor is done.

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
from lastword.service.values import Claim, Refusal
from lastword_middleware.claims import Claims
from lastword_middleware.covered import operation_of
from lastword_middleware.ends import Ends
from lastword_middleware.errors import ClaimFailed, DeliveryRefused
from lastword_middleware.tracker import OpenAttempt, Tracker


class TrackAttempts(Middleware):
    """One claim before the actor, one recorded end after it; nothing runs untracked.

    Args:
        tracker: the state shared with `TrackMessages`.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self._claims = Claims(tracker)
        self._ends = Ends(tracker)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        """Claim the run, or skip a delivery that may not start it.

        Raises:
            DeliveryRefused: the delivery means nothing any more, or must wait.
            ClaimFailed: the delivery could not be judged; the actor does not run.
        """
        operation = operation_of(broker, message.actor_name)
        if operation is None:
            return
        if not self.tracker.reserve(message.message_id):
            self._claims.refuse(message, Refusal.RUNNING)
        try:
            self._open(message, self._claims.claim(message, operation))
        except DeliveryRefused:
            raise
        except Exception as error:
            # Dramatiq would swallow it and run the actor untracked.
            raise ClaimFailed.because(error) from error
        finally:
            self.tracker.end_claim(message.message_id)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Record how the attempt ended. A second call of Dramatiq finds it settled."""
        attempt = self.tracker.attempt_of(message)
        if attempt is None:
            return
        leave_run()
        try:
            if exception is None:
                self._ends.returned(broker, attempt, result)
            elif message.failed:
                self._ends.failed(broker, attempt, exception)
            else:
                self._ends.lost_retry(attempt, exception)
        except Exception:
            # Dramatiq would swallow it, and the run would stay `running` with a worker that
            # vouches for it.
            logging.getLogger("lastword").exception("the end of run %s", attempt.run.run_id)
            self._ends.barely(attempt, exception)
        self.tracker.settle(attempt)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """A middleware behind this one skipped a delivery whose run was claimed already."""
        attempt = self.tracker.attempt_of(message)
        if attempt is not None:
            leave_run()
            self._ends.rejected(attempt)
            self.tracker.settle(attempt)

    def _open(self, message: MessageProxy, claim: Claim) -> None:
        worker_id = claim.worker_id
        assert worker_id is not None, "a claim that was granted names its worker"
        run = CurrentRun(
            run_id=claim.run_id,
            operation=claim.operation,
            attempt=claim.attempt,
            tenant_id=claim.tenant_id,
            workspace_id=claim.workspace_id,
        )
        run.remember(**json.loads(claim.context))
        enter_run(run)
        self.tracker.open(
            OpenAttempt(
                run=run,
                worker_id=worker_id,
                message=message,
                retries=message.options.get("retries", 0),
            )
        )
