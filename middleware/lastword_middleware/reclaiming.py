"""What Redis believes a worker to hold, and it does not: given back to the queue, or buried.

A reply of Redis that was lost, a message that was dropped when a connection broke, one that cannot
be read.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from dramatiq.brokers.redis import RedisBroker

from lastword.errors import LedgerUnavailable
from lastword.logs import log_notice
from lastword.reasons import Reason
from lastword.service.counters import Counted, count
from lastword_middleware.delivered import decoded
from lastword_middleware.prefetching import Hands
from lastword_middleware.tracker import Tracker

#: Seconds between two looks.
RECLAIM_EVERY_S = 5.0


@dataclass(slots=True)
class Reclaiming:
    """Puts Redis right about one queue.

    Attributes:
        hold_key: the key of what Redis believes this worker to hold of the queue.
        messages_key: the key of the queue's messages.
        hands: what it really holds.
    """

    broker: RedisBroker
    tracker: Tracker
    queue_name: str
    hold_key: str
    messages_key: str
    hands: Hands
    _due: float = 0.0

    def look_if_due(self) -> None:
        """Look if the last time was long enough ago."""
        if time.monotonic() >= self._due:
            self.look()

    def look(self) -> None:
        """Look, and put right what is wrong."""
        self._due = time.monotonic() + RECLAIM_EVERY_S
        believed: Any = self.broker.client.smembers(self.hold_key)
        for ref in {member.decode() for member in believed} - self.hands.refs:
            data: Any = self.broker.client.hget(self.messages_key, ref)
            if data is None:
                self.broker.do_ack(self.queue_name, ref)
            elif decoded(data, queue_name=self.queue_name) is None:
                self._bury(ref)
            else:
                log_notice(logging.WARNING, "message_reclaimed", queue=self.queue_name, ref=ref)
                self.broker.do_requeue(self.queue_name, ref)

    def _bury(self, ref: str) -> None:
        log_notice(logging.ERROR, "message_undecodable", queue=self.queue_name, ref=ref)
        try:
            count(self.tracker.ledger, Counted.REFUSED_DELIVERIES, Reason.UNDECODABLE_MESSAGE)
            self.tracker.runs.reject_message(
                message_queue=self.queue_name,
                message_ref=ref,
                reason=Reason.UNDECODABLE_MESSAGE,
                worker_id=self.tracker.worker_id,
            )
        except LedgerUnavailable:
            return  # It is looked for again.
        self.broker.do_nack(self.queue_name, ref)
