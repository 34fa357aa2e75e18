"""From a held delivery to a claim that is recorded before the actor runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import NoReturn

from dramatiq.broker import Broker, MessageProxy

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.service.values import Claim, Delivery, Refusal
from lastword_middleware.admission import FOREIGN, Admission
from lastword_middleware.errors import DeliveryRefused
from lastword_middleware.options import dispatch_of
from lastword_middleware.reservations import Held
from lastword_middleware.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims runs for the worker that `tracker` is."""

    tracker: Tracker

    def hold(self, broker: Broker, message: MessageProxy) -> Held:
        """The reservation of a delivery: made when it was fetched, or now where no consumer did.

        Waits while this worker has no live lease.

        Raises:
            DeliveryRefused: the delivery may not start its run; acknowledged if the ledger holds
                what it means, kept by the broker if the worker stops before that is known.
        """
        while True:
            held = self.tracker.reservations.take(message)
            if held is not None:
                return held
            try:
                refused = Admission(broker, self.tracker).admit([message])
            except LedgerUnavailable:
                self.keep(message)
            for item in refused:
                if item.is_kept:
                    self.keep(message)
                self.refuse(message, item.why)
            held = self.tracker.reservations.take(message)
            if held is not None:
                return held
            self._await_lease(message)

    def may_begin(self, held: Held) -> bool:
        """Whether the start of this delivery may be recorded after the fact, with its end.

        Not on probation, not with an old reservation, and not while the ledger or this worker's
        lease is in doubt. Nor where the run may not be repeated: if this worker died before the
        start was written, whoever is given the message next would take it for one not begun.
        """
        return (
            self.tracker.config.policy(held.reservation.operation).may_repeat
            and held.is_fresh
            and not held.reservation.probation
            and held.reservation.worker_id == self.tracker.worker_id
            and self.tracker.lease_is_live
            and self.tracker.writer is not None
            and self.tracker.writer.is_reaching
        )

    def claim(self, message: MessageProxy) -> Claim:
        """The attempt that this delivery becomes, recorded.

        Raises:
            DeliveryRefused: it may not start its run; acknowledged if the ledger holds what it
                means, kept by the broker if the worker stops before that is known.
        """
        dispatch = dispatch_of(message.options)
        assert dispatch is not None, "an unmarked message was marked when it was admitted"
        delivery = Delivery(RunId(message.message_id), dispatch)
        while True:
            try:
                claim = self.tracker.persist_or_stop(
                    lambda: self._ask(delivery), what="claim", run_id=delivery.run_id
                )
            except LedgerUnavailable:
                self.keep(message)
            if claim.refusal is None:
                return claim
            if claim.refusal is not Refusal.LEASE_LOST:
                self.refuse(message, claim.refusal)
            self._await_lease(message)

    def refuse(self, message: MessageProxy, refusal: Refusal) -> NoReturn:
        """Skip a delivery that means nothing any more, or never did.

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
        self.tracker.work.here.refused = message
        if refusal in FOREIGN:
            message.fail()
        raise DeliveryRefused(f"{message.message_id}: {refusal}")

    def keep(self, message: MessageProxy) -> NoReturn:
        """Neither run a delivery nor acknowledge it: the broker gives it to another worker.

        Raises:
            DeliveryRefused: always.
        """
        self.tracker.work.here.refused = message
        self.tracker.work.here.held = message
        raise DeliveryRefused(f"{message.message_id}: not this worker's to start, nor to drop")

    def _await_lease(self, message: MessageProxy) -> None:
        # Renewed by the heartbeat, or reborn under a new id; until then nothing may start.
        if self.tracker.stopping.wait(self.tracker.config.heartbeat_interval / 4):
            self.keep(message)

    def _ask(self, delivery: Delivery) -> Claim:
        worker_id = self.tracker.worker_id
        if worker_id is None:
            return Claim(delivery.run_id, refusal=Refusal.LEASE_LOST)
        if self.tracker.writer is None:
            [claim] = self.tracker.runs.claim([delivery], worker_id=worker_id)
            return claim
        return self.tracker.writer.claim(delivery, worker_id)
