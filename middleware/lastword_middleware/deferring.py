"""From an attempt that asks to go on later to a delayed message: the worker is free meanwhile."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dramatiq.broker import Broker

from lastword.logs import log_notice
from lastword.reasons import Deferral
from lastword.service.values import PutOff
from lastword.states import Outcome
from lastword_middleware.dispatch import fresh
from lastword_middleware.encoding import canonical
from lastword_middleware.tracker import Tracker
from lastword_middleware.working import OpenAttempt


@dataclass(frozen=True, slots=True)
class Deferring:
    """Hands runs back to the queue for the worker that `tracker` is."""

    tracker: Tracker

    def put_off(self, broker: Broker, attempt: OpenAttempt, deferral: Deferral) -> bool:
        """Record that the run goes on later, then send it; whether it was put off.

        False if it has waited as long as its policy allows, or is not this attempt's any more.
        """
        dispatch = self._recorded(attempt, deferral)
        if dispatch is None:
            return False
        # Not the queue's failure, which `throws` has made of it: the message is done with.
        attempt.message.failed = False
        self.tracker.tracing.end(attempt, Outcome.PENDING, deferral.reason, deferral)
        self.tracker.work.settle(attempt)
        again = fresh(
            canonical(attempt.message._message), dispatch=dispatch, retries=attempt.retries
        )
        try:
            broker.enqueue(again, delay=int(deferral.delay_s * 1000) or None)
        except Exception as error:  # noqa: BLE001 - the run is queued whatever the broker says
            # The reconciler finds it without a message, and sends it from the ledger.
            log_notice(logging.WARNING, "dispatch_unknown", run=attempt.run.run_id, why=error)
        return True

    def _recorded(self, attempt: OpenAttempt, deferral: Deferral) -> int | None:
        run = attempt.run
        put_off = PutOff(
            run_id=run.run_id,
            attempt=run.attempt,
            worker_id=attempt.worker_id,
            delay_s=deferral.delay_s,
            within_s=self.tracker.config.policy(run.operation).max_deferral,
            reason=deferral.reason,
            counts=run.counts,
            context=run.context,
            diagnostics=deferral.message,
        )
        self.tracker.require_written()
        dispatches = self.tracker.persist_or_stop(
            lambda: self.tracker.runs.defer([put_off]), what="defer", run_id=run.run_id
        )
        return dispatches.get(run.run_id)
