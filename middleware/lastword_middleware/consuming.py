"""The consumer of a Redis queue: reserves what it fetches, and loses nothing that it was handed.

It speaks Dramatiq's own commands to Redis (`dramatiq/brokers/redis/dispatch.lua`, 2.2), and differs
from Dramatiq's consumer in this: a whole batch is reserved in the ledger before any of it is handed
out; every error of the client restarts the consumer instead of ending its thread; one message that
cannot be read does not drop the others; and what Redis believes this worker to hold, and it does
not, goes back to the queue.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import compute_backoff
from dramatiq.errors import ConnectionClosed
from dramatiq.worker import QUEUE_PREFETCH

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword_middleware.admission import FOREIGN, Admission
from lastword_middleware.delivered import decoded, ref_of
from lastword_middleware.fetching import Ahead
from lastword_middleware.prefetching import HELD_FOR_S, Hands
from lastword_middleware.reclaiming import Reclaiming
from lastword_middleware.tracker import Tracker
from lastword_middleware.truths import Done

_DELAY_QUEUE = ".DQ"

#: Milliseconds between two looks into a queue that has just become empty.
SHORTEST_PAUSE_MS = 10

#: The longest pause, as a share of the time for which the queue has been empty.
PAUSES_SHARE = 1 / 8

#: Acknowledges many messages, as Dramatiq's own `ack` does one.
_ACKNOWLEDGE = """
local acknowledged = 0
for _, ref in ipairs(ARGV) do
    if redis.call('SREM', KEYS[1], ref) > 0 then
        redis.call('HDEL', KEYS[2], ref)
        acknowledged = acknowledged + 1
    end
end
return acknowledged
"""


def track_consumers(broker: Broker, tracker: Tracker) -> None:
    """Let a Redis broker consume through `ReservingConsumer`; another broker stays as it is."""
    if not isinstance(broker, RedisBroker):
        return
    tracker.defers_acks = True
    script = broker.client.register_script(_ACKNOWLEDGE)

    def consume(queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        # A restarted consumer finds what its predecessor handed out still in the worker's hands;
        # only the delayed messages were dropped with it.
        waits = queue_name.endswith(_DELAY_QUEUE)
        hands = tracker.hands.setdefault(queue_name, Hands())
        hands.least, hands.is_fixed = prefetch, waits or bool(QUEUE_PREFETCH)
        if waits:
            hands.refs.clear()
        return ReservingConsumer(
            broker, tracker, queue_name, idle_ms=timeout, hands=hands, ack=script
        )

    broker.consume = consume  # type: ignore[method-assign]


class ReservingConsumer(Consumer):
    """Consumes one queue for one worker.

    Args:
        broker: the broker.
        tracker: the worker.
        queue_name: the queue, or its delay queue.
        idle_ms: the longest pause between two fetches, in milliseconds.
        hands: the messages of this queue that are in the worker's hands.
        ack: the script that acknowledges many.
    """

    def __init__(
        self,
        broker: RedisBroker,
        tracker: Tracker,
        queue_name: str,
        *,
        idle_ms: int,
        hands: Hands,
        ack: Callable[..., Any],
    ) -> None:
        self.queue_name = queue_name
        self._broker = broker
        self._tracker = tracker
        self._admission = Admission(broker, tracker)
        self._idle_ms = idle_ms
        self._hands = hands
        self._ack = ack
        self._inbox: deque[MessageProxy] = deque()
        self._misses = 0
        self._idle_since = time.monotonic()
        self._fetched_at = 0.0
        self._ahead = Ahead(self._fetched, leave=tracker.ledger.leave_thread)
        self._reclaiming = Reclaiming(
            broker, tracker, queue_name, self._hold_key(), self._key(f"{queue_name}.msgs"), hands
        )

    def __next__(self) -> MessageProxy | None:
        """The next message, or None after a pause.

        Raises:
            ConnectionClosed: Redis does not answer, or not as it should.
        """
        if self._tracker.stopping.is_set():
            # Others can have it sooner. What is delayed is still sent on when it is due.
            self.close()
            time.sleep(self._idle_ms / 1000)
            return None
        if not self._hands.may_be_handed_out:
            self._wait_for_a_thread()
            return None
        try:
            self._refill()
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
        if self._inbox:
            self._misses, self._idle_since = 0, time.monotonic()
            message = self._inbox.popleft()
            self._hands.waiting.add(ref_of(message))
            return message
        if self._hands.room <= 0:
            # Not idle but full: there is room again with the next acknowledgement.
            self._hands.freed.wait(self._idle_ms / 1000)
            return None
        time.sleep(self._pause_ms() / 1000)
        return None

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge a message, now or once its truth is durable."""
        if not self._leave_to_writer(message, failed=False):
            self._at_once(lambda: self._broker.do_ack(self.queue_name, ref_of(message)), message)

    def nack(self, message: MessageProxy) -> None:
        """Hand a message to the dead letters, now or once its truth is durable."""
        if not self._leave_to_writer(message, failed=True):
            self._at_once(lambda: self._broker.do_nack(self.queue_name, ref_of(message)), message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give messages back to the queue, and their runs to whoever fetches them."""
        given = self._released(messages)
        if not given:
            return
        refs = [ref_of(message) for message in given]
        try:
            self._broker.do_requeue(self.queue_name, *refs)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
        self._hands.drop(refs)

    def close(self) -> None:
        """Give back what was fetched and not handed out."""
        given = [*self._inbox, *self._ahead.close()]
        self._inbox.clear()
        try:
            self.requeue(given)
        except ConnectionClosed as error:
            # The next consumer of this queue, or the broker's maintenance, finds them.
            self._hands.drop(ref_of(message) for message in given)
            log_notice(logging.WARNING, "requeue_failed", queue=self.queue_name, why=error)

    def acknowledge(self, refs: Sequence[str]) -> None:
        """See `Acknowledger`."""
        self._ack(keys=[self._hold_key(), self._key(f"{self.queue_name}.msgs")], args=list(refs))
        self._hands.settle(refs)

    def bury(self, refs: Sequence[str]) -> None:
        """See `Acknowledger`."""
        for ref in refs:
            self._broker.do_nack(self.queue_name, ref)
            self._hands.settle([ref])

    def _wait_for_a_thread(self) -> None:
        hands = self._hands
        hands.begun.clear()
        # One may have begun just before that.
        if hands.may_be_handed_out or hands.begun.wait(self._idle_ms / 1000):
            return
        if time.monotonic() - self._fetched_at > HELD_FOR_S:
            # The threads are kept by something long: others can have it sooner.
            self.close()

    def _pause_ms(self) -> int:
        # Dramatiq's own pauses, and not much longer than the queue has been empty: what comes soon
        # after the last is not kept waiting.
        idle_ms = (time.monotonic() - self._idle_since) * 1000
        longest_ms = min(self._idle_ms, max(SHORTEST_PAUSE_MS, int(idle_ms * PAUSES_SHARE)))
        self._misses, pause_ms = compute_backoff(self._misses, max_backoff=longest_ms)
        return int(pause_ms)

    def _refill(self) -> None:
        if self._ahead.is_under_way:
            if self._ahead.is_done or not self._inbox:
                self._inbox.extend(self._ahead.taken())
        elif not self._inbox:
            self._inbox.extend(self._fetched())
        elif self._hands.room >= len(self._inbox):
            self._ahead.begin()

    def _fetched(self) -> list[MessageProxy]:
        self._hands.freed.clear()
        self._reclaiming.look_if_due()
        number = self._hands.next_fetch
        if number <= 0:
            return []
        fetched = self._broker.do_fetch(self.queue_name, number)
        readable = [
            message for data in fetched if (message := decoded(data, queue_name=self.queue_name))
        ]
        # One that is here already was given to the queue by somebody who took this worker for dead.
        messages: list[MessageProxy]
        messages = [message for message in readable if ref_of(message) not in self._hands.refs]
        self._hands.refs.update(ref_of(message) for message in messages)
        try:
            if len(readable) < len(fetched):
                self._reclaiming.look()
            self._fetched_at = time.monotonic()
            # As Dramatiq orders what it has fetched, for what is handed out later too.
            return sorted(self._admitted(messages), key=self._priority)
        except BaseException:
            # Nobody has seen them yet: Redis believes them here, and is put right with time.
            self._released(messages)
            self._hands.drop(ref_of(message) for message in messages)
            raise

    def _priority(self, message: MessageProxy) -> int:
        actor = self._broker.actors.get(message.actor_name)
        return int(actor.priority) if actor else 0

    def _admitted(self, messages: list[MessageProxy]) -> list[MessageProxy]:
        if not messages:
            return messages
        waits = self.queue_name.endswith(_DELAY_QUEUE)
        look = self._admission.unacceptable if waits else self._admission.admit
        try:
            refused = look(messages)
        except LedgerUnavailable:
            # The worker stops: another will be asked.
            self.requeue(messages)
            return []
        for item in refused:
            if item.is_kept:
                self._hands.drop([ref_of(item.message)])
                continue
            act = self.bury if item.why in FOREIGN else self.acknowledge
            act([ref_of(item.message)])
        dropped = {id(item.message) for item in refused}
        return [message for message in messages if id(message) not in dropped]

    def _leave_to_writer(self, message: MessageProxy, *, failed: bool) -> bool:
        if not self._tracker.work.take_deferred(message):
            return False
        assert self._tracker.writer is not None
        done = Done(self, RunId(message.message_id), ref_of(message), failed)
        self._tracker.writer.put(done)
        return True

    def _at_once(self, act: Callable[[], object], message: MessageProxy) -> None:
        try:
            act()
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
        self._hands.settle([ref_of(message)])

    def _released(self, messages: Iterable[MessageProxy]) -> list[MessageProxy]:
        """Those of `messages` that others may have now. The rest leaves the hands, and waits."""
        given = list(messages)
        taken = [self._tracker.reservations.take(message) for message in given]
        kept = self._tracker.give_back([held for held in taken if held is not None])
        waiting = {id(held.message) for held in kept}
        self._hands.drop(ref_of(message) for message in given if id(message) in waiting)
        return [message for message in given if id(message) not in waiting]

    def _hold_key(self) -> str:
        return self._key(f"__acks__.{self._broker.broker_id}.{self.queue_name}")

    def _key(self, name: str) -> str:
        return f"{self._broker.namespace}:{name}"
