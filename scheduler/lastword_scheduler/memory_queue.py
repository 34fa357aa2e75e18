"""A queue in memory for tests: what is delayed lies aside until time passes; all can be lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import Queue
from typing import Any

from dramatiq import Message
from dramatiq.broker import Consumer
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import current_millis, join_queue
from dramatiq.errors import QueueJoinTimeout
from dramatiq.middleware import Middleware

from lastword.identity import RunId
from lastword_scheduler.probe import MessageEvidence, MessageState, Whereabouts

#: What becomes of one message: another one, or None if it is lost.
_Change = Callable[[Message[Any]], Message[Any] | None]


class MemoryQueue(StubBroker):
    """Dramatiq's broker for tests, in which nobody waits until delayed messages are due.

    Its methods but those of a broker are for when no worker runs.

    Args:
        middleware: the broker's.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        # Workers take delayed messages from here, and have only those that were let go.
        self._due = StubBroker(middleware=[])
        self._sending = threading.Lock()
        self._sent = 0
        super().__init__(middleware=list(middleware))

    def declare_queue(self, queue_name: str) -> None:
        """See `Broker`."""
        self._due.declare_queue(queue_name)
        super().declare_queue(queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        """See `Broker`."""
        if queue_name in self.delay_queues:
            return self._due.consume(queue_name, prefetch, timeout)
        return super().consume(queue_name, prefetch, timeout)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """See `Broker`."""
        with self._sending:
            self._sent += 1
        return super().enqueue(message, delay=delay)

    def join_due(self, within_s: float) -> None:
        """Wait until all is done that is due, and all that it sends without a delay.

        Raises:
            QueueJoinTimeout: it takes longer than `within_s`.
        """
        deadline = time.monotonic() + within_s
        sent = -1
        # Work may send to a queue that was found empty before.
        while sent != self._sent:
            sent = self._sent
            for queue in self._at_work():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise QueueJoinTimeout(f"work that is due took longer than {within_s:g} s")
                join_queue(queue, timeout=left_s)

    @property
    def has_due(self) -> bool:
        """Whether there is something to do now."""
        return any(queue.unfinished_tasks for queue in self._at_work())

    def until_due(self) -> int | None:
        """Milliseconds until the first delayed message is due; None if there is none."""
        dues = [int(message.options["eta"]) for message in self._delayed()]
        return max(min(dues) - current_millis(), 0) if dues else None

    def let_go(self) -> None:
        """Hand out the delayed messages whose time has come."""
        now = current_millis()

        def kept(message: Message[Any]) -> Message[Any] | None:
            if message.options["eta"] > now:
                return message
            self._due.queues[message.queue_name].put(message.encode())
            return None

        for name in self.delay_queues:
            _change(self.queues[name], kept)

    def pass_time(self, passed_ms: int) -> None:
        """Let every message be older by so much, and be due earlier."""

        def older(message: Message[Any]) -> Message[Any]:
            eta = message.options.get("eta")
            due = {} if eta is None else {"eta": eta - passed_ms}
            return message.copy(
                message_timestamp=message.message_timestamp - passed_ms, options=due
            )

        for queue in self.queues.values():
            _change(queue, older)

    def lose(self, run_id: RunId) -> int:
        """Lose the messages of one run; how many there were."""
        found = sum(1 for message in self._waiting() if message.message_id == run_id)
        for queue in self.queues.values():
            _change(queue, lambda message: None if message.message_id == run_id else message)
        return found

    def flush_all(self) -> None:
        """See `StubBroker`."""
        super().flush_all()
        self._due.flush_all()

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """See `Probe`."""
        waiting = {message.message_id for message in self._waiting()}
        ready, gone = MessageEvidence(MessageState.READY), MessageEvidence(MessageState.GONE)
        return {item.run_id: ready if item.run_id in waiting else gone for item in messages}

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """See `Probe`: nobody holds anything here while no worker runs."""
        del queue, holder, refs
        return 0

    def _at_work(self) -> list[Queue[bytes]]:
        ready = [queue for name, queue in self.queues.items() if name not in self.delay_queues]
        return [*ready, *self._due.queues.values()]

    def _waiting(self) -> Iterable[Message[Any]]:
        for queue in self.queues.values():
            yield from (Message.decode(data) for data in list(queue.queue))

    def _delayed(self) -> Iterable[Message[Any]]:
        for name in self.delay_queues:
            yield from (Message.decode(data) for data in list(self.queues[name].queue))


def _change(queue: Queue[bytes], change: _Change) -> None:
    for _ in range(queue.qsize()):
        message = change(Message.decode(queue.get_nowait()))
        if message is not None:
            queue.put(message.encode())
        queue.task_done()
