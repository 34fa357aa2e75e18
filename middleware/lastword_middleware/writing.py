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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.service import RunService
from lastword.service.requests import NewRun
from lastword.service.values import AttemptEnd, Beginning, Recorded
from lastword.storage.ledger import Ledger

#: Seconds a start waits for its end, so that a short job is one commit and not two.
START_WAITS_S = 0.005

#: The most items of one group.
MOST_ITEMS = 1024

#: Seconds between two tries to reach a ledger that is down: from, to.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0

Verb = Callable[[Sequence[AttemptEnd]], dict[RunId, Recorded]]


@dataclass(frozen=True, slots=True)
class Began:
    """An attempt was begun, at `at` by this process's monotonic clock."""

    beginning: Beginning
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended.

    Attributes:
        verb: the name of the service's verb that records it.
        follow_up: a run that is accepted with it, if it is what ends its run.
        settled: called once it is durable; with False if it cannot be written at all.
    """

    verb: str
    end: AttemptEnd
    follow_up: NewRun | None
    settled: Callable[[bool], object]


class Acknowledger(Protocol):
    """What acknowledges messages to the broker, many at once."""

    def acknowledge(self, refs: Sequence[str]) -> None:
        """Drop these messages from the broker."""

    def bury(self, refs: Sequence[str]) -> None:
        """Hand these messages to the dead letters."""


@dataclass(frozen=True, slots=True)
class Done:
    """A message whose attempt has ended may be acknowledged, or buried if the queue gave it up."""

    acknowledger: Acknowledger
    run_id: RunId
    ref: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Barrier:
    """Everything that was put before it is durable once it is passed."""

    passed: threading.Event = field(default_factory=threading.Event)


Item = Began | Ended | Done | Barrier


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
                item = self._items.get(timeout=self._patience(group))
            except queue.Empty:
                if group or self._unacknowledged:
                    break
                continue
            if item is None:
                return group, True
            group.append(item)
        return group, False

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
        now = time.monotonic()
        verbs: dict[str, list[Ended]] = {}
        for item in ended:
            verbs.setdefault(item.verb, []).append(item)
        with self._ledger.transaction():
            # All of them at once and in order: two verbs after each other could lock crosswise.
            run_ids = {item.beginning.run_id for item in began} | {i.end.run_id for i in ended}
            self._ledger.lock_runs(sorted(run_ids))
            if began:
                self._runs.begin([replace(item.beginning, age_s=now - item.at) for item in began])
            for name, items in verbs.items():
                verb: Verb = getattr(self._runs, name)
                recorded = verb([item.end for item in items])
                follow_ups = [
                    item.follow_up
                    for item in items
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
                self._try(partial(self._write, [], [end]), run_id) for end in (item, _bare(item))
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


def _bare(item: Ended) -> Ended:
    end = item.end
    bare = AttemptEnd(end.run_id, end.attempt, end.worker_id, end.outcome, end.reason)
    return replace(item, end=bare, follow_up=None)
