"""Restarting workers without losing work: ask, watch them finish, see that others have come.

Whatever keeps the workers - systemd, Kubernetes, supervisor - starts what has ended; this never
starts a process itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lastword.errors import LastwordError
from lastword.identity import WorkerId
from lastword.reading.workers import list_workers
from lastword.service.draining import request_drain
from lastword.service.workers import WorkerEnding
from lastword.storage.ledger import Ledger

#: Seconds between two looks at workers that are waited for.
LOOK_EVERY_S = 0.2

#: The most workers that are looked through; live ones come first.
MOST_WORKERS = 1000

Tell = Callable[[str], None]
Row = dict[str, Any]


class NotDrained(LastwordError):
    """A worker did not end in good order, or nothing came in its place."""


@dataclass(frozen=True, slots=True)
class Drained:
    """A worker that has ended in good order.

    Attributes:
        worker: its row as it was when it was asked.
        took_s: how long it took, in seconds.
        successor: the worker that came in its place, if that was waited for.
    """

    worker: Row
    took_s: float
    successor: Row | None = None


@dataclass(frozen=True, slots=True)
class Restarter:
    """Asks workers to drain, and waits.

    Args:
        ledger: the ledger.
        by: who asks.
        tell: is told how it goes, one line at a time.
        drained_within_s: how long a worker may take to finish, in seconds.
        replaced_within_s: how long whatever keeps it may take to start another, in seconds.
    """

    ledger: Ledger
    by: str
    tell: Tell
    drained_within_s: float
    replaced_within_s: float

    def drain(self, workers: Sequence[Row]) -> list[Drained]:
        """Let these workers finish and end, all at once.

        Raises:
            NotDrained: one was lost, or takes too long; the others were asked all the same.
        """
        self._ask(workers)
        return self._await_ends(workers)

    def restart(self, workers: Sequence[Row]) -> Iterator[Drained]:
        """Let these workers finish and end, each only once the one before it has a successor.

        Raises:
            NotDrained: one was lost, takes too long, or nothing came in its place; those that are
                left were not asked.
        """
        for place, worker in enumerate(workers):
            known = {row["id"] for row in self._rows()}
            self._ask([worker])
            try:
                [drained] = self._await_ends([worker])
                successor = self._await_successor(worker, known)
            except NotDrained as error:
                left = len(workers) - place - 1
                mend = f"{error.mend}; {left} workers were left alone" if left else error.mend
                raise NotDrained(error.seen, expected=error.expected, mend=mend) from error
            self.tell(f"{_name(worker)}: replaced by {_name(successor)}{_build(successor)}")
            yield Drained(drained.worker, drained.took_s, successor)

    def _ask(self, workers: Sequence[Row]) -> None:
        request_drain(self.ledger, [WorkerId(worker["id"]) for worker in workers], by=self.by)

    def _await_ends(self, workers: Sequence[Row]) -> list[Drained]:
        began = time.monotonic()
        left = {worker["id"]: worker for worker in workers}
        told: dict[str, object] = {}
        drained: list[Drained] = []
        while left:
            took_s = time.monotonic() - began
            for now in [row for row in self._rows() if row["id"] in left]:
                if now["ending"] is not None:
                    drained.append(self._ended(left.pop(now["id"]), now, took_s))
                elif (now["state"], now["working"]) != told.get(now["id"]):
                    told[now["id"]] = (now["state"], now["working"])
                    self.tell(f"{_name(now)}: {now['state']}, {_work(now)}, {took_s:.0f} s")
                if took_s > self.drained_within_s and now["id"] in left:
                    raise NotDrained(
                        f"{_name(now)} has not ended in {took_s:.0f} s, {_work(now)}",
                        mend="it goes on draining: wait longer, or look at what it works on",
                    )
            if left:
                time.sleep(LOOK_EVERY_S)
        return drained

    def _ended(self, worker: Row, now: Row, took_s: float) -> Drained:
        if now["ending"] == WorkerEnding.LOST or now["cause"]:
            raise NotDrained(
                f"{_name(worker)} did not end in good order: {now['cause']}",
                mend="its runs are judged by their policies, see `lastword runs list`",
            )
        self.tell(f"{_name(worker)}: drained in {took_s:.1f} s")
        return Drained(worker, took_s)

    def _await_successor(self, worker: Row, known: set[str]) -> Row:
        deadline = time.monotonic() + self.replaced_within_s
        while True:
            for row in self._rows():
                is_like = (row["host"], row["queues"]) == (worker["host"], worker["queues"])
                if row["id"] not in known and is_like and row["lease"] == "live":
                    return row
            if time.monotonic() > deadline:
                raise NotDrained(
                    f"nothing has started another worker for {_name(worker)} in "
                    f"{self.replaced_within_s:g} s",
                    expected=f"one on {worker['host']} for {', '.join(worker['queues'])}",
                    mend="look at what keeps it: it has to start again what ended with exit code 0",
                )
            time.sleep(LOOK_EVERY_S)

    def _rows(self) -> list[Row]:
        return list_workers(self.ledger, limit=MOST_WORKERS)


def _name(worker: Row) -> str:
    return f"{worker['id']} on {worker['host']} (pid {worker['pid']})"


def _build(worker: Row) -> str:
    return f", revision {worker['revision']}" if worker["revision"] else ""


def _work(worker: Row) -> str:
    count = len(worker["working"])
    return f"working on {count} run{'' if count == 1 else 's'}"
