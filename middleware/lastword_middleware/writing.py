"""The one thread that writes a worker's truths: many with one commit, and acknowledges after it.

Worker threads never wait for a disk. What they begin and end is put here in order; a group of it is
written in one transaction, and the messages of what has ended are acknowledged once that is
durable. A lone job is written at once; while a commit is under way the next group gathers.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.service import RunService
from lastword.service.values import AttemptEnd, Recorded
from lastword.storage.ledger import Ledger
from lastword_middleware.truths import (
    Acknowledger,
    Barrier,
    Began,
    Done,
    Ended,
    Item,
    attempt_of,
    bare,
    by_verb,
)

#: Seconds a start waits for its end, so that a short job is one commit and not two.
START_WAITS_S = 0.005

#: The most items of one group.
MOST_ITEMS = 4096

#: Seconds between two tries to reach a ledger that is down: from, to.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0

Verb = Callable[[Sequence[AttemptEnd]], dict[RunId, Recorded]]


class Writer(threading.Thread):
    """Writes what a worker's threads put, in order, until it is stopped.

    Args:
        ledger: where to write.
        runs: the service over it.
    """

    def __init__(self, ledger: Ledger, runs: RunService) -> None:
        super().__init__(name="lastword-writer", daemon=True)
        self._ledger = ledger
        self._runs = runs
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

    def put(self, item: Item) -> None:
        """Have something written. Returns at once."""
        self._items.put(item)

    def drain(self) -> bool:
        """Wait until everything put so far is durable; False if the writer ended before that."""
        barrier = Barrier()
        self._items.put(barrier)
        while not barrier.passed.wait(0.2):
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
        began = [item for item in group if isinstance(item, Began)]
        ended = [item for item in group if isinstance(item, Ended)]
        done = [item for item in group if isinstance(item, Done)]
        try:
            self._insist(lambda: self._write(began, ended))
            for item in ended:
                item.settled(True)
        except LedgerUnavailable:
            # Giving up: what is acknowledged in a later group must not be one of these.
            self._unwritten.update(item.end.run_id for item in ended)
            return
        except Exception:
            logging.getLogger("lastword").exception("a group of truths could not be written")
            self._one_by_one(began, ended)
        self._acknowledge(done)

    def _write(self, began: Sequence[Began], ended: Sequence[Ended]) -> None:
        if not began and not ended:
            return
        starts = {attempt_of(item.beginning): item for item in began}
        brief: list[tuple[Began, Ended]] = []
        others: list[Ended] = []
        for item in ended:
            start = starts.pop(attempt_of(item.end), None) if item.verb == "finish" else None
            if start:
                brief.append((start, item))
            else:
                others.append(item)
        with self._ledger.transaction():
            # All of them at once and in order: two verbs after each other could lock crosswise.
            run_ids = {item.beginning.run_id for item in began} | {i.end.run_id for i in ended}
            self._ledger.lock_runs(list(run_ids))
            now = time.monotonic()
            if starts:
                self._runs.begin([item.told(now) for item in starts.values()])
            recorded = {}
            if brief:
                pairs = [(start.told(now), item.end) for start, item in brief]
                recorded = self._runs.begin_and_finish(pairs)
            for name, items in by_verb(others):
                verb: Verb = getattr(self._runs, name)
                recorded.update(verb([item.end for item in items]))
            self._follow_up(ended, recorded)

    def _follow_up(self, ended: Sequence[Ended], recorded: Mapping[RunId, Recorded]) -> None:
        follow_ups = [
            item.follow_up
            for item in ended
            if item.follow_up and recorded.get(item.end.run_id) is Recorded.MOVED
        ]
        if follow_ups:
            self._runs.accept(follow_ups)

    def _one_by_one(self, began: Sequence[Began], ended: Sequence[Ended]) -> None:
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
