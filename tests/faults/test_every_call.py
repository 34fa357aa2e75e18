"""Each call of a start, a sweep, a schedule or a worker fails once: done, or not done.

Then whoever called does what they are told to do - ask again, sweep again - and every run that was
accepted is executed as often as it should be, and has one last word. Real Redis, both databases.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from dramatiq.broker import Broker
from dramatiq.worker import Worker

import lastword_middleware
from lastword.config import Config
from lastword.errors import LastwordError, LedgerUnavailable
from lastword.identity import new_run_id
from lastword.schedules import add_schedule
from lastword.service.requests import NewRun
from lastword.starting import start_in, start_many
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword_middleware import reclaiming
from lastword_middleware.broker import worker_broker
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_scheduler.slots import SlotKeeper
from lastword_scheduler.timetable import generic_reconciler, sending_broker
from tests.campaigns import IS_LONG
from tests.faults.breaking import Breakage, Breaker, broken
from tests.faults.places import EXECUTED, POLICY, Place, declare
from tests.support import POLICIES, Scene, until
from tests.workers import tracker_of


@pytest.fixture
def config(database_url: str, redis_url: str, tmp_path: Path) -> Config:
    return Config(
        data_dir=tmp_path,
        database_url=database_url,
        broker_url=redis_url,
        heartbeat_interval=0.2,
        lease_ttl=5.0,
        sweep_interval=0.2,
        message_grace=0.05,
        slot_grace=3600.0,
        policies={"report.build": POLICY, "report.once": POLICIES["report.once"]},
    )


@pytest.fixture
def place(config: Config, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(reclaiming, "RECLAIM_EVERY_S", 0.1)
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.05)
    executed: Counter[int] = Counter()
    broker = worker_broker(config)
    application = lastword_middleware.install(broker, config=config)
    declare(broker, executed)
    breakable = open_ledger(config.ledger_url)
    sender = sending_broker(config, breakable)
    worker = Worker(broker, worker_timeout=20, worker_threads=1)
    place = Place(
        config=config,
        broker=broker,
        application=application,
        worker=worker,
        scene=Scene(ledger),
        breaker=Breaker(),
        sweeper=generic_reconciler(config, ledger),
        breakable=generic_reconciler(config, breakable, broker=sender),
        keeper=SlotKeeper(config, breakable, BrokerDispatcher(sender, config, breakable)),
        executed=executed,
    )
    tracker = tracker_of(broker)
    for one in (application.ledger, application.apart, tracker.ledger, breakable):
        place.breaker.attach_database(one.database)
    for each in (broker, sender):
        place.breaker.attach_redis(each.client)  # type: ignore[attr-defined]
    worker.start()
    yield place
    place.breaker.rest()
    worker.stop(timeout=5000)
    for one in (application.ledger, application.apart, tracker.ledger, breakable):
        one.close()


Story = Callable[[Place, list[int]], object]


def one_start(place: Place, numbers: list[int]) -> None:
    """`lastword.start`: asked again, it answers with the run that is there."""
    _start(place, numbers[0])


def _start(place: Place, number: int, *, delay_s: float = 0.0) -> None:
    start_in(
        place.application,
        "report.build",
        inputs={"number": number},
        tenant=None,
        initiator=None,
        delay_s=delay_s,
    )


def delayed_start(place: Place, numbers: list[int]) -> None:
    _start(place, numbers[0], delay_s=0.05)


def many_starts(place: Place, numbers: list[int]) -> None:
    start_many("report.build", [{"number": number} for number in numbers])


def start_in_a_transaction(place: Place, numbers: list[int]) -> None:
    with place.application.ledger.transaction():
        for number in numbers:
            _start(place, number)


def every_way(place: Place, story: Story, *, numbers: int) -> Iterator[tuple[Breakage, int]]:
    """Each call of a story with each way of breaking it; first of all the story is told whole."""
    story(place, [place.number() for _ in range(numbers)])
    place.settle()
    place.breaker.count()
    story(place, [place.number() for _ in range(numbers)])
    calls = len(place.breaker.calls)
    place.breaker.rest()
    assert calls > 2
    for number in range(calls):
        for how in Breakage:
            yield how, number


@pytest.mark.parametrize(
    "story",
    [one_start, delayed_start, many_starts, start_in_a_transaction],
    ids=lambda story: story.__name__,
)
def test_a_start_that_is_asked_for_again_starts_once(place: Place, story: Story) -> None:
    many = 1 if story in (one_start, delayed_start) else 3
    for how, number in every_way(place, story, numbers=many):
        numbers = [place.number() for _ in range(many)]
        # A worker that is quick has ended a run before its start is asked for again, and then that
        # is another run: so nothing is executed here until everything was asked for.
        place.worker.pause()
        try:
            with broken(place.breaker, how, number), suppress(LedgerUnavailable):
                story(place, numbers)
            story(place, numbers)
        finally:
            place.worker.resume()
    place.settle()


def test_a_message_that_is_sent_again_is_a_run_of_its_own_and_none_is_lost(place: Place) -> None:
    def send(place: Place, numbers: list[int]) -> None:
        place.actor().send(numbers[0])

    for how, number in every_way(place, send, numbers=1):
        again = place.number()
        with broken(place.breaker, how, number), suppress(LastwordError, redis.ConnectionError):
            place.actor().send(again)
    until(place._is_settled, within_s=60)
    # Not asked for again here: what was refused was not accepted, all else was done once.
    assert place.executed <= place.expected
    assert place.executed.total() == _accepted(place)


def _accepted(place: Place) -> int:
    with place.scene.ledger.session():
        [row] = place.scene.ledger.execute("SELECT COUNT(*) AS accepted FROM lastword_run")
    return int(row["accepted"])


def test_a_sweep_that_breaks_is_made_up_for_by_the_next(place: Place) -> None:
    def sweep(place: Place, numbers: list[int]) -> None:
        _accept_without_message(place, numbers[0])
        place.breaker.calls.clear()
        with suppress(LedgerUnavailable):
            place.breakable.sweep()

    for how, number in every_way(place, sweep, numbers=1):
        place.settle()
        _accept_without_message(place, place.number())
        with broken(place.breaker, how, number), suppress(LedgerUnavailable):
            place.breakable.sweep()
        place.settle()


def _accept_without_message(place: Place, number: int) -> None:
    run_id = new_run_id()
    [letter] = place.application.dispatcher.compose("report.build", [(run_id, {"number": number})])
    new = NewRun(
        run_id,
        POLICY,
        letter.actor_name,
        letter.payload,
        message_queue=letter.message_queue,
        message_ref=letter.message_ref,
    )
    place.scene.runs.accept([new])
    place.scene.backdate(run_id, "sent_at", 10)


def test_a_slot_is_started_once_whatever_broke_as_it_was_noted(place: Place) -> None:
    def keep(place: Place, numbers: list[int]) -> None:
        _add_due_schedule(place, numbers[0])
        place.breaker.calls.clear()
        place.keeper.sweep()

    for how, number in every_way(place, keep, numbers=1):
        place.settle()
        _add_due_schedule(place, place.number())
        with broken(place.breaker, how, number), suppress(LedgerUnavailable):
            place.keeper.sweep()
        place.keeper.sweep()
        place.settle()


def _add_due_schedule(place: Place, number: int) -> None:
    # Its one slot of the day was a minute ago.
    slot = datetime.fromtimestamp(time.time() // 60 * 60 - 60, UTC)
    name, ledger = f"schedule {number}", place.scene.ledger
    cron = f"{slot.minute} {slot.hour} * * *"
    add_schedule("report.build", name=name, cron=cron, inputs={"number": number})
    with ledger.transaction():
        ledger.execute(
            f"UPDATE lastword_schedule SET next_at = {int(slot.timestamp() * 1000)} "
            f"WHERE name = {ledger.dialect.param}",
            name,
        )


def _producer(config: Config) -> tuple[Broker, Callable[[], None]]:
    """Another application that sends, and what closes its ledgers."""
    producer = worker_broker(config)
    application = lastword_middleware.install(producer, config=config)
    declare(producer, Counter())
    ledgers = (application.ledger, application.apart, tracker_of(producer).ledger)

    def close() -> None:
        for ledger in ledgers:
            ledger.close()

    return producer, close


def test_whichever_call_of_a_worker_breaks_its_work_is_done_and_told_once(
    place: Place, config: Config
) -> None:
    producer, close = _producer(config)

    def work() -> None:
        for does in EXECUTED:
            place.actor(producer, does=does).send(place.number(does), does)

    work()
    place.settle()
    place.breaker.count(here=False)
    for _ in range(3):
        work()
        place.settle()
    sites = sorted({site for site in place.breaker.calls if not site.startswith("a test")})
    assert len(sites) > 10
    # Which of the two is told apart nowhere but here: one of them on each database is enough.
    own = Breakage.REFUSED if place.scene.ledger.is_one_file else Breakage.LOST
    missed = []
    for site in sites:
        for how in Breakage if IS_LONG else [own]:
            place.breaker.arm(how, site=site, here=False)
            work()
            place.settle()
            # A beat makes its calls a little later.
            with suppress(AssertionError):
                until(lambda: bool(place.breaker.broken), within_s=1)
            if not place.breaker.broken:
                missed.append(site)
            place.breaker.rest()
    close()
    # A beat asks for more where it finds a run in hand, which is luck.
    assert len(missed) < len(sites) / 3, missed
