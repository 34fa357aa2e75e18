"""A queue in memory for tests: what is delayed lies aside until time passes; all can be lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.stub import StubBroker
from dramatiq.common import current_millis
from dramatiq.middleware import Middleware

from lastword.identity import RunId
from lastword_scheduler.probe import MessageEvidence, MessageState, Whereabouts

#: What becomes of one message: another one, or None if it is lost.
_Change = Callable[[Message[Any]], Message[Any] | None]


class MemoryQueue(StubBroker):
    """Dramatiq's broker for tests, which gives messages to one worker, and in no other thread.

    Its methods but those of a broker are for when no worker works.

    Args:
        middleware: the broker's.

    Attributes:
        is_cut_off: whether the process that sends is taken to be dead: what it sends is nowhere.
    """

    def __init__(self, middleware: Sequence[Middleware]) -> None:
        self.is_cut_off = False
        super().__init__(middleware=list(middleware))

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        """See `Broker`. Nobody waits: there is a message, or there is none."""
        return _Taking(self.queues[queue_name], self.dead_letters_by_queue[queue_name])

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """See `Broker`."""
        return message if self.is_cut_off else super().enqueue(message, delay=delay)

    @property
    def has_due(self) -> bool:
        """Whether there is something to do now."""
        ready = any(self.queues[name].qsize() for name in self.get_declared_queues())
        return ready or self.until_due() == 0

    def until_due(self) -> int | None:
        """Milliseconds until the first delayed message is due; None if there is none."""
        dues = [_due(message) for message in self._delayed()]
        return max(min(dues) - current_millis(), 0) if dues else None

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

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """See `Probe`."""
        waiting = {message.message_id for message in self._waiting()}
        ready, gone = MessageEvidence(MessageState.READY), MessageEvidence(MessageState.GONE)
        return {item.run_id: ready if item.run_id in waiting else gone for item in messages}

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """See `Probe`: nobody holds anything here while no worker runs."""
        del queue, holder, refs
        return 0

    def _waiting(self) -> Iterable[Message[Any]]:
        for queue in self.queues.values():
            yield from (Message.decode(data) for data in list(queue.queue))

    def _delayed(self) -> Iterable[Message[Any]]:
        for name in self.delay_queues:
            yield from (Message.decode(data) for data in list(self.queues[name].queue))


class _Taking(Consumer):
    """Takes what is due from one queue.

    Args:
        queue: the queue.
        dead_letters: where the broker keeps what is rejected.
    """

    def __init__(self, queue: Queue[bytes], dead_letters: list[MessageProxy]) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._due: deque[Message[Any]] = deque()

    def __next__(self) -> MessageProxy | None:
        if not self._due:
            now = current_millis()
            _change(self._queue, lambda message: self._kept(message, now))
        return MessageProxy(self._due.popleft()) if self._due else None

    def ack(self, message: MessageProxy) -> None:
        """Nothing is left of a message that was taken."""

    def nack(self, message: MessageProxy) -> None:
        self._dead_letters.append(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        given = [message.encode() for message in messages]
        for data in [*given, *_drained(self._queue)]:
            self._queue.put(data)

    def _kept(self, message: Message[Any], now: int) -> Message[Any] | None:
        if _due(message) > now:
            return message
        self._due.append(message)
        return None


def _due(message: Message[Any]) -> int:
    eta = message.options.get("eta")
    return int(eta) if isinstance(eta, int | float) else 0


def _change(queue: Queue[bytes], change: _Change) -> None:
    for data in _drained(queue):
        message = change(Message.decode(data))
        if message is not None:
            queue.put(message.encode())


def _drained(queue: Queue[bytes]) -> list[bytes]:
    drained: list[bytes] = []
    with suppress(Empty):
        while True:
            drained.append(queue.get_nowait())
            queue.task_done()
    return drained
