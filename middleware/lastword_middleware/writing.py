"""The one thread that writes a worker's truths: many with one commit, and acknowledges after it.

What worker threads begin and end is put here in order, and they go on; a group of it is written in
one transaction, and the messages of what has ended are acknowledged once that is durable. Only
who may not begin before that is recorded waits, for the same commit as all the others. A lone job
is written at once; while a commit is under way the next group gathers.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId
from lastword.logs import log_notice
from lastword.service import RunService
from lastword.service.values import Claim, Delivery
from lastword.storage.ledger import Ledger
from lastword_middleware.recording import Recording
from lastword_middleware.truths import (
    Acknowledger,
    Asked,
    Barrier,
    Began,
    Done,
    Ended,
    Item,
    bare,
    sorted_out,
)

#: Seconds a start waits for its end, so that a short job is one commit and not two.
START_WAITS_S = 0.005

#: The most items of one group.
MOST_ITEMS = 4096

#: Seconds between two tries to reach a ledger that is down: from, to.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0

#: Seconds after which whoever waits for the writer looks whether it still writes.
LOOKS_EVERY_S = 0.2


class Writer(threading.Thread):
    """Writes what a worker's threads put, in order, until it is stopped.

    Args:
        ledger: where to write.
        runs: the service over it.
    """

    def __init__(self, ledger: Ledger, runs: RunService) -> None:
        super().__init__(name="lastword-writer", daemon=True)
        self._ledger = ledger
        self._recording = Recording(ledger, runs)
        self._items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._giving_up = threading.Event()
        self._reachable = threading.Event()
        self._reachable.set()
        self._unacknowledged: list[Done] = []
        self._unwritten: set[RunId] = set()

    @property
    def is_reaching(self) -> bool:
        """Whether the ledger took what it was given last."""
        return self._reachable.is_set()

    @property
    def waiting(self) -> int:
        """How many items it has not looked at yet."""
        return self._items.qsize()

    def put(self, item: Item) -> None:
        """Have something written. Returns at once."""
        self._items.put(item)

    def claim(self, delivery: Delivery, worker_id: WorkerId) -> Claim:
        """Have a start recorded with what else is written then, and wait for that.

        Raises:
            LedgerUnavailable: not now; it is open whether it is recorded.
        """
        item = Asked(delivery, worker_id)
        self.put(item)
        try:
            while self.is_alive() and (self.is_reaching or not item.answer.cancel()):
                with suppress(TimeoutError):
                    return item.answer.result(LOOKS_EVERY_S)
            raise LedgerUnavailable(
                f"the ledger at {self._ledger.address} did not answer the writer",
                address=self._ledger.address,
            )
        finally:
            item.answer.cancel()

    def drain(self) -> bool:
        """Wait until everything put so far is durable; False if the writer ended before that."""
        barrier = Barrier()
        self._items.put(barrier)
        while not barrier.passed.wait(LOOKS_EVERY_S):
            if not self.is_alive():
                return barrier.passed.is_set()
        return not self._giving_up.is_set()

    def stop(self, *, within_s: float) -> None:
        """Write what is left, and end; what cannot be written in time stays unacknowledged."""
        self._items.put(None)
        self.join(within_s)
        self._giving_up.set()
        self.join(LONGEST_WAIT_S)

    def run(self) -> None:
        """Write group after group."""
        while True:
            group, is_last = self._next_group()
            try:
                self._settle(group)
            except Exception:
                # Nothing here may end the thread: everything after it would stay unwritten.
                logging.getLogger("lastword").exception("a group of truths could not be settled")
            for barrier in group:
                if isinstance(barrier, Barrier):
                    barrier.passed.set()
            if is_last:
                break
        self._ledger.leave_thread()

    def _next_group(self) -> tuple[list[Item], bool]:
        group: list[Item] = []
        while len(group) < MOST_ITEMS:
            try:
                item = self._next_item(group)
            except queue.Empty:
                if group or self._unacknowledged:
                    break
                continue
            if item is None:
                return group, True
            group.append(item)
        return group, False

    def _next_item(self, group: Sequence[Item]) -> Item | None:
        try:
            return self._items.get_nowait()
        except queue.Empty:
            return self._items.get(timeout=self._patience(group))

    def _patience(self, group: Sequence[Item]) -> float:
        if not group:
            return 1.0
        first = group[0]
        if isinstance(first, Began) and all(isinstance(item, Began) for item in group):
            return max(0.0, first.at + START_WAITS_S - time.monotonic())
        return 0.0

    def _settle(self, group: Sequence[Item]) -> None:
        began, ended, done, questions = sorted_out(group)
        asked = [item for item in questions if item.answer.set_running_or_notify_cancel()]
        try:
            self._insist(lambda: self._write(began, ended, asked))
            for item in ended:
                item.settled(True)
        except LedgerUnavailable:
            # Giving up: what is acknowledged in a later group must not be one of these.
            self._unwritten.update(item.end.run_id for item in ended)
            return
        except Exception:
            logging.getLogger("lastword").exception("a group of truths could not be written")
            self._one_by_one(began, ended, asked)
        self._acknowledge(done)

    def _write(
        self, began: Sequence[Began], ended: Sequence[Ended], asked: list[Asked] | None = None
    ) -> None:
        asked = [] if asked is None else asked
        if not (began or ended or asked) and self.is_reaching:
            return
        try:
            claims = self._recording.record(began, ended, asked)
        except LedgerUnavailable as error:
            # They know whether it is worth to ask again.
            for item in asked:
                item.answer.set_exception(error)
            # What is tried again without them shows whether the ledger is there.
            asked.clear()
            raise
        for item, claim in claims:
            item.answer.set_result(claim)

    def _one_by_one(
        self, began: Sequence[Began], ended: Sequence[Ended], asked: Sequence[Asked]
    ) -> None:
        # One end that cannot be kept - a fact of its own, say - must not hold up the others.
        for start in began:
            self._try(partial(self._write, [start], []), start.beginning.run_id)
        for item in ended:
            run_id = item.end.run_id
            written = any(
                self._try(partial(self._write, [], [end]), run_id) for end in (item, bare(item))
            )
            if not written:
                self._unwritten.add(run_id)
            item.settled(written)
        for question in asked:
            self._answer(question)

    def _answer(self, question: Asked) -> None:
        try:
            self._write([], [], [question])
        except Exception as error:  # noqa: BLE001 - it is told to who asked
            if not question.answer.done():
                question.answer.set_exception(error)

    def _try(self, write: Callable[[], None], run_id: RunId) -> bool:
        try:
            self._insist(write)
        except LedgerUnavailable:
            return False
        except Exception:
            logging.getLogger("lastword").exception("the truth of run %s", run_id)
            return False
        return True

    def _insist(self, write: Callable[[], None]) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                write()
            except LedgerUnavailable as error:
                if self._reachable.is_set():
                    log_notice(logging.ERROR, "ledger_down", waiting_to="write", why=error)
                self._reachable.clear()
                if self._giving_up.wait(wait_s):
                    raise
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                self._reachable.set()
                return

    def _acknowledge(self, done: Sequence[Done]) -> None:
        waiting = [*self._unacknowledged, *done]
        self._unacknowledged = []
        groups: dict[tuple[Acknowledger, bool], list[Done]] = {}
        for item in waiting:
            if item.run_id in self._unwritten:
                # The broker keeps it: the reconciler finds an attempt that nobody works on.
                self._unwritten.discard(item.run_id)
                continue
            groups.setdefault((item.acknowledger, item.failed), []).append(item)
        for (acknowledger, failed), items in groups.items():
            act = acknowledger.bury if failed else acknowledger.acknowledge
            try:
                act([item.ref for item in items])
            except Exception as error:  # noqa: BLE001 - whatever the client raises, it is tried again
                # The truth is durable; a message that comes again meanwhile is refused.
                log_notice(
                    logging.WARNING, "acknowledgement_failed", why=error, messages=len(items)
                )
                self._unacknowledged += items
