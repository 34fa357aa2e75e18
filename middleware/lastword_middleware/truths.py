"""What a worker's threads put to its writer: starts, ends, messages that may be dropped then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from lastword.identity import RunId, WorkerId
from lastword.service.requests import NewRun
from lastword.service.values import AttemptEnd, Beginning, Claim, Delivery


@dataclass(frozen=True, slots=True)
class Began:
    """An attempt was begun, at `at` by this process's monotonic clock."""

    beginning: Beginning
    at: float

    def told(self, now: float) -> Beginning:
        """The start, with its age at `now`."""
        return Beginning(*self.beginning[:-1], now - self.at)


@dataclass(frozen=True, slots=True)
class Asked:
    """A delivery is to become an attempt, and whoever asked waits until that is recorded.

    Attributes:
        worker_id: who will have it.
        answer: the claim, once it is durable. Cancelled, it is not asked any more. An error of the
            ledger is an answer: it leaves open whether the claim was recorded.
    """

    delivery: Delivery
    worker_id: WorkerId
    answer: Future[Claim] = field(default_factory=Future)


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


Item = Began | Asked | Ended | Done | Barrier


def sorted_out(
    items: Iterable[Item],
) -> tuple[list[Began], list[Ended], list[Done], list[Asked]]:
    """Items by their kind, each in order."""
    began: list[Began] = []
    ended: list[Ended] = []
    done: list[Done] = []
    asked: list[Asked] = []
    for item in items:
        match item:
            case Began():
                began.append(item)
            case Ended():
                ended.append(item)
            case Done():
                done.append(item)
            case Asked():
                asked.append(item)
    return began, ended, done, asked


def attempt_of(item: Beginning | AttemptEnd) -> tuple[RunId, int, WorkerId]:
    """Which attempt a start or an end is of."""
    return item.run_id, item.attempt, item.worker_id


def by_worker(asked: Sequence[Asked]) -> Iterable[tuple[WorkerId, list[Asked]]]:
    """What was asked, by the worker that is to have it."""
    workers: dict[WorkerId, list[Asked]] = {}
    for item in asked:
        workers.setdefault(item.worker_id, []).append(item)
    return workers.items()


def by_verb(ended: Sequence[Ended]) -> Iterable[tuple[str, list[Ended]]]:
    """Ends, by the verb that records them."""
    verbs: dict[str, list[Ended]] = {}
    for item in ended:
        verbs.setdefault(item.verb, []).append(item)
    return verbs.items()


def bare(item: Ended) -> Ended:
    """The end without anything that could have kept it from being written."""
    end = item.end
    bare = AttemptEnd(end.run_id, end.attempt, end.worker_id, end.outcome, end.reason)
    return replace(item, end=bare, follow_up=None)
