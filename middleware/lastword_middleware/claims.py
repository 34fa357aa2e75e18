"""From a delivery to a claim: asks the ledger, and skips or holds what may not start."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from dramatiq.broker import MessageProxy

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.service.values import Claim, Delivery, NewRun, Refusal
from lastword_middleware.dispatch import encoded
from lastword_middleware.errors import DeliveryRefused
from lastword_middleware.messages import canonical
from lastword_middleware.options import DISPATCH, dispatch_of
from lastword_middleware.tracker import Tracker

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims runs for the worker that `tracker` is."""

    tracker: Tracker

    def claim(self, message: MessageProxy, operation: str) -> Claim:
        """The attempt that this delivery becomes.

        Raises:
            DeliveryRefused: it may not start its run; acknowledged if the ledger holds what it
                means, kept by the broker if the worker stops before that is known.
        """
        delivery = Delivery(RunId(message.message_id), self._dispatch(message, operation))
        while True:
            claim = self._persist(message, lambda: self._ask(delivery), what="claim")
            if claim.refusal is None:
                return claim
            if claim.refusal is not Refusal.LEASE_LOST:
                self.refuse(message, claim.refusal)
            # Renewed by the heartbeat, or reborn under a new id; until then nothing may start.
            if self.tracker.stopping.wait(self.tracker.config.heartbeat_interval / 4):
                self._hold(message)

    def refuse(self, message: MessageProxy, refusal: Refusal) -> NoReturn:
        """Skip a delivery that means nothing any more.

        Raises:
            DeliveryRefused: always.
        """
        log_notice(
            logging.INFO,
            "delivery_skipped",
            run=message.message_id,
            why=refusal,
            dispatch=dispatch_of(message.options),
        )
        self.tracker.here.refused = message
        if refusal is Refusal.UNKNOWN_RUN:
            message.fail()
        raise DeliveryRefused(f"{message.message_id}: {refusal}")

    def _ask(self, delivery: Delivery) -> Claim:
        worker_id = self.tracker.worker_id
        if worker_id is None:
            return Claim(delivery.run_id, refusal=Refusal.LEASE_LOST)
        [claim] = self.tracker.runs.claim([delivery], worker_id=worker_id)
        return claim

    def _dispatch(self, message: MessageProxy, operation: str) -> int:
        dispatch = dispatch_of(message.options)
        if dispatch is not None:
            return dispatch
        # Sent by a process without Lastword: accepted here, on its delivery.
        message.options[DISPATCH] = 1
        run = NewRun(
            run_id=RunId(message.message_id),
            policy=self.tracker.config.policy(operation),
            actor_name=message.actor_name,
            payload=encoded(
                canonical(message._message),
                max_payload_bytes=self.tracker.config.max_payload_bytes,
            ),
            message_queue=message.queue_name,
            message_ref=message.options.get("redis_message_id"),
        )
        self._persist(message, lambda: self.tracker.runs.accept([run]), what="accept")
        return 1

    def _persist(self, message: MessageProxy, write: Callable[[], T], *, what: str) -> T:
        try:
            run_id = RunId(message.message_id)
            return self.tracker.persist_or_stop(write, what=what, run_id=run_id)
        except LedgerUnavailable:
            self._hold(message)

    def _hold(self, message: MessageProxy) -> NoReturn:
        # Neither run nor acknowledged: the broker gives it to another worker.
        self.tracker.here.refused = message
        self.tracker.here.held = message
        raise DeliveryRefused(f"{message.message_id}: the worker stops before it could start this")
