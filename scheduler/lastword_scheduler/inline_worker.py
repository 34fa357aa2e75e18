"""A worker without threads for tests: Dramatiq's own, whose work is done by whoever calls it."""

from __future__ import annotations

import contextvars
import os
import sys
from bdb import BdbQuit
from collections import defaultdict
from queue import Empty
from typing import Any, ClassVar

from dramatiq.broker import Broker, MessageProxy
from dramatiq.middleware import Middleware, TimeLimit
from dramatiq.worker import ConsumerThread, Worker, WorkerThread, _WorkerMiddleware

from lastword.errors import LastwordError
from lastword_scheduler.lost_workers import WorkerLost
from lastword_scheduler.memory_queue import MemoryQueue

#: The most messages of one `Bench.work`: there are actors that send themselves without end.
MOST_MESSAGES = 10_000

#: Milliseconds between two looks at the time limit of the attempt at work; a test waits for one.
LIMIT_LOOKS_EVERY_MS = 50


class Raised(Middleware):
    """Keeps what attempts raised, with its traceback.

    Attributes:
        by_run: what the attempts of a run raised, in order.
        passing: what is the test's and not the actor's; whoever called the worker gets it.
    """

    def __init__(self) -> None:
        self.by_run: dict[str, list[BaseException]] = defaultdict(list)
        self.passing: BaseException | None = None

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Keep what was raised, unless the worker died of it."""
        if isinstance(exception, _of_the_test()):
            self.passing = exception
        elif exception is not None and not isinstance(exception, WorkerLost):
            self.by_run[message.message_id].append(exception)


class BenchTimeLimit(TimeLimit):
    """The time limit of an application, with one thread that watches for all benches of a process.

    Dramatiq's own can be started once, and not be stopped.
    """

    _watches: ClassVar[dict[int, TimeLimit]] = {}

    @classmethod
    def like(cls, broker: Broker) -> BenchTimeLimit:
        """With the limit that this broker has for actors without one of their own."""
        limits = [item.time_limit for item in broker.middleware if isinstance(item, TimeLimit)]
        return cls(time_limit=limits[0]) if limits else cls()

    def after_process_boot(self, broker: Broker) -> None:
        """Watch from here on."""
        pid = os.getpid()
        if pid not in self._watches:
            self._watches[pid] = TimeLimit(interval=LIMIT_LOOKS_EVERY_MS)
            self._watches[pid].after_process_boot(broker)
        self.manager = self._watches[pid].manager


class InlineWorker(Worker):
    """Takes, begins and ends messages as a worker with one thread does, in the caller's thread.

    Args:
        broker: the queue.
        raised: what the attempts raised; one of the broker's middleware.
    """

    broker: MemoryQueue

    def __init__(self, broker: MemoryQueue, raised: Raised) -> None:
        super().__init__(broker, worker_timeout=0, worker_threads=1)
        self._raised = raised

    def work_off(self, done: int) -> int:
        """Do all that is due, and all that it sends, until nothing is left or the worker dies.

        Args:
            done: how many messages were done before; how many there are then is returned.

        Raises:
            LastwordError: it does not end.
        """
        while (message := self._next()) is not None:
            # What an attempt leaves in its context is not there for the next one, nor for the test.
            contextvars.copy_context().run(self.workers[0].process_message, message)
            done += 1
            if self._raised.passing is not None:
                passing, self._raised.passing = self._raised.passing, None
                raise passing
            if self.broker.is_cut_off:
                break
            if done == MOST_MESSAGES:
                raise LastwordError(
                    f"there was still work after {MOST_MESSAGES} messages",
                    expected="work that ends",
                    mend="send what has no end with a delay, and call work(wait=False)",
                )
        return done

    def stop(self, timeout: int = 600_000) -> None:
        """See `Worker`; what was taken and not begun is given back."""
        super().stop(timeout)
        kept = [item for item in self.broker.middleware if not isinstance(item, _WorkerMiddleware)]
        self.broker.middleware[:] = kept

    def _next(self) -> MessageProxy | None:
        # What was delayed is put on its queue first.
        for name in sorted(self.consumers, key=lambda name: name not in self.broker.delay_queues):
            consumer = self.consumers[name]
            assert isinstance(consumer, _Consumer)
            consumer.take()
        try:
            return self.work_queue.get_nowait().message
        except Empty:
            return None

    def _add_consumer(self, queue_name: str, *, delay: bool = False) -> None:
        del delay
        self.consumers[queue_name] = consumer = _Consumer(
            broker=self.broker,
            queue_name=queue_name,
            prefetch=1,
            work_queue=self.work_queue,
            worker_timeout=self.worker_timeout,
        )
        consumer.start()

    def _add_worker(self) -> None:
        thread = _Working(
            broker=self.broker,
            consumers=self.consumers,
            work_queue=self.work_queue,
            worker_timeout=self.worker_timeout,
        )
        thread.start()
        self.workers.append(thread)


class _Consumer(ConsumerThread):
    """Hands on what its queue has when it is asked; begins and ends as its thread would."""

    def start(self) -> None:
        self.consumer = self.broker.consume(self.queue_name)
        self.broker.emit_after("consumer_thread_boot", self)

    def take(self) -> None:
        assert self.consumer is not None
        while (message := next(self.consumer)) is not None:
            self.handle_message(message)
        self.handle_delayed_messages()

    def join(self, timeout: float | None = None) -> None:
        self.broker.emit_before("consumer_thread_shutdown", self)


class _Working(WorkerThread):
    """Works when it is told to; begins and ends as its thread would."""

    def start(self) -> None:
        self.broker.emit_after("worker_thread_boot", self)

    def join(self, timeout: float | None = None) -> None:
        self.broker.emit_before("worker_thread_shutdown", self)


def _of_the_test() -> tuple[type[BaseException], ...]:
    # Whoever interrupts a test, leaves its debugger or calls `pytest.fail` in what an actor calls
    # means the test.
    pytest = sys.modules.get("pytest")
    outcomes = [getattr(pytest, name).Exception for name in ("exit", "fail", "skip") if pytest]
    return KeyboardInterrupt, BdbQuit, *outcomes
