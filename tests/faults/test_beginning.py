"""When a start may be recorded after the fact: only while nothing about it is in doubt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn

import dramatiq
import pytest
from dramatiq.broker import Broker, MessageProxy

from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, new_worker_id
from lastword.service.values import AttemptEnd, Reservation
from lastword.states import Outcome
from lastword_middleware.claims import Claims
from lastword_middleware.reservations import BEGIN_WITHIN_S, Held
from lastword_middleware.tracker import Tracker
from lastword_middleware.truths import Ended
from tests.support import until
from tests.workers import tracker_of


@pytest.fixture
def tracker(broker: Broker) -> Iterator[Tracker]:
    """A worker whose lease nobody renews."""
    tracker = tracker_of(broker)
    tracker.boot(threads=1, broker_id=None)
    assert tracker.writer is not None
    yield tracker
    tracker.writer.stop(within_s=0.1)


@pytest.fixture
def held(broker: Broker, tracker: Tracker) -> Held:
    """A delivery that was fetched just now."""

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = MessageProxy(build.message())
    reservation = Reservation(
        RunId(message.message_id), 1, operation="report.build", worker_id=tracker.worker_id
    )
    return Held(message, reservation, time.monotonic())


def test_what_was_fetched_just_now_may_begin_at_once(tracker: Tracker, held: Held) -> None:
    assert Claims(tracker).may_begin(held)


def test_a_run_on_probation_may_not(tracker: Tracker, held: Held) -> None:
    suspected = replace(held, reservation=held.reservation._replace(probation=True))
    assert not Claims(tracker).may_begin(suspected)


def test_a_run_that_may_not_be_repeated_may_not(tracker: Tracker, held: Held) -> None:
    assert not tracker.config.policy("report.once").may_repeat
    once = replace(held, reservation=held.reservation._replace(operation="report.once"))
    assert not Claims(tracker).may_begin(once)


def test_what_was_fetched_long_ago_may_not(tracker: Tracker, held: Held) -> None:
    old = replace(held, since=held.since - BEGIN_WITHIN_S - 1)
    assert not Claims(tracker).may_begin(old)


def test_what_this_process_fetched_as_another_worker_may_not(tracker: Tracker, held: Held) -> None:
    other = replace(held, reservation=held.reservation._replace(worker_id=new_worker_id()))
    assert not Claims(tracker).may_begin(other)


def test_nothing_may_once_the_lease_may_have_run_out(tracker: Tracker, held: Held) -> None:
    until(lambda: not tracker.lease_is_live, within_s=5)
    assert not Claims(tracker).may_begin(held)


def test_nothing_may_while_the_ledger_does_not_take_what_it_is_given(
    tracker: Tracker, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> NoReturn:
        raise LedgerUnavailable("the database is away", address="here")

    monkeypatch.setattr(tracker.runs, "finish", away)
    writer, worker_id = tracker.writer, tracker.worker_id
    assert writer is not None
    assert worker_id is not None
    end = AttemptEnd(held.reservation.run_id, 1, worker_id, Outcome.SUCCEEDED, None)
    writer.put(Ended("finish", end, None, lambda written: None))
    until(lambda: not writer.is_reaching, within_s=5)
    assert not Claims(tracker).may_begin(held)
