"""Schedulers that are killed and paused at random: one acts, nothing is done twice or forgotten."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from lastword.identity import run_identity
from lastword.service.scheduling import NewSchedule, ScheduleService
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from tests.campaigns import volume
from tests.faults.test_redispatch import accept_many, counted, executions
from tests.fleets import LEASE_S, Fleet
from tests.support import until

STEPS = volume(8, long=20)
RUNS, SCHEDULES = 100 * STEPS, 2 * STEPS


@dataclass
class Leaders(threading.Thread):
    """Watches who leads, through connections of its own."""

    url: str
    ended: threading.Event = field(default_factory=threading.Event)
    seen: set[str] = field(default_factory=set)
    longest_gap_s: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        ledger = open_ledger(self.url)
        led_at = time.monotonic()
        now = ledger.dialect.now_ms
        while not self.ended.wait(0.02):
            with ledger.session():
                rows = ledger.execute(
                    f"SELECT holder FROM lastword_leader WHERE lease_until > {now}"
                )
            self.seen |= {row["holder"] for row in rows}
            if rows or not self.seen:
                led_at = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - led_at)
        ledger.close()


@contextmanager
def watched_leaders(url: str) -> Iterator[Leaders]:
    leaders = Leaders(url)
    leaders.start()
    try:
        yield leaders
    finally:
        leaders.ended.set()
        leaders.join()


def add_schedules(ledger: Ledger, numbers: range) -> None:
    """Schedules with one slot a year, at the last full minute, which nobody has noted yet."""
    last_minute = int(time.time()) // 60 * 60
    cron = time.strftime("%M %H %d %m *", time.gmtime(last_minute))
    for number in numbers:
        inputs: dict[str, object] = {"seconds": number / 1_000_000}
        message = {
            "queue_name": "default",
            "actor_name": "work",
            "args": [],
            "kwargs": inputs,
            "options": {"lastword_dispatch": 1},
            "message_id": "",
            "message_timestamp": 0,
        }
        identity = run_identity(
            workspace_id=None, tenant_id=None, operation="fleet.work", inputs=inputs
        )
        assert ScheduleService(ledger).add(
            NewSchedule(
                id=f"schedule-{number}",
                name=f"schedule {number}",
                operation="fleet.work",
                cron=cron,
                timezone="UTC",
                actor_name="work",
                payload=json.dumps(message),
                identity_hash=identity,
                next_at=last_minute * 1000,
                inputs=inputs,
            )
        )


@dataclass
class Strikes:
    """Kills or pauses schedulers, but always leaves one alone.

    Whoever is paused is woken by a timer: it may hold the lock of the whole SQLite file, and the
    test itself would wait for it.
    """

    fleet: Fleet
    dice: random.Random
    timers: list[threading.Timer] = field(default_factory=list)
    paused: set[int] = field(default_factory=set)

    def strike(self) -> None:
        awake = [
            pid
            for name, pid in self.fleet.supervisor.pids().items()
            if name.startswith("scheduler") and pid not in self.paused
        ]
        if len(awake) < 2:
            return
        victim = self.dice.choice(awake)
        if self.dice.random() < 0.5:
            _signal(victim, signal.SIGKILL)
            return
        # Longer than its lease: when it goes on, another leads.
        timer = threading.Timer(LEASE_S * self.dice.uniform(1.1, 1.6), self.wake, [victim])
        self.paused.add(victim)
        _signal(victim, signal.SIGSTOP)
        timer.start()
        self.timers.append(timer)

    def wake(self, pid: int) -> None:
        _signal(pid, signal.SIGCONT)
        self.paused.discard(pid)

    def end(self) -> None:
        for timer in self.timers:
            timer.join()


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


@pytest.mark.timeout(180)
def test_schedulers_killed_and_paused_at_random_lose_nothing_and_do_nothing_twice(
    fleet: Fleet, database_url: str
) -> None:
    ledger = fleet.scene.ledger
    seed = int(os.environ.get("SEED", time.time_ns() % 10**6))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    run_ids: list[str] = []
    for number in range(3 if ledger.is_one_file else 2):
        fleet.supervisor.run(f"scheduler-{number}", "scheduler")
    fleet.worker("worker-1", "--threads", "4")
    strikes = Strikes(fleet, dice)
    with watched_leaders(database_url) as leaders:
        until(lambda: leaders.seen, what="the first leader")
        try:
            for step in range(STEPS):
                add_schedules(ledger, range(2 * step, 2 * step + 2))
                run_ids += [run.run_id for run in accept_many(fleet, RUNS // STEPS)]
                strikes.strike()
                leaders.ended.wait(dice.uniform(0.5, 1.0))
            # However the dice fell: one leader at least was struck.
            while len(leaders.seen) < 2:
                strikes.strike()
                leaders.ended.wait(dice.uniform(0.5, 1.0))
            until(
                lambda: counted(ledger, "status") == {"completed": RUNS + SCHEDULES},
                within_s=60,
                what="all to be done",
            )
        finally:
            strikes.end()
    require_once(fleet, run_ids)
    # From the death of a leader: its lease, and then another's look for it.
    assert leaders.longest_gap_s < LEASE_S, leaders.longest_gap_s
    assert len(leaders.seen) > 1


def require_once(fleet: Fleet, run_ids: list[str]) -> None:
    """Every run has one last word and was executed once; every slot has one run."""
    ledger = fleet.scene.ledger
    assert counted(ledger, "outcome") == {"succeeded": RUNS + SCHEDULES}
    with ledger.session():
        events = ledger.execute(
            "SELECT run_id, COUNT(*) AS n FROM lastword_event WHERE terminal GROUP BY run_id"
        )
        slots = ledger.execute("SELECT * FROM lastword_slot")
        scheduled = ledger.execute("SELECT id FROM lastword_run WHERE context <> '{}'")
    assert {row["n"] for row in events} == {1}
    started = [slot for slot in slots if slot["result"] == "started"]
    assert Counter(slot["schedule_id"] for slot in started) == {
        f"schedule-{number}": 1 for number in range(SCHEDULES)
    }
    assert {slot["run_id"] for slot in started} == {row["id"] for row in scheduled}
    assert executions(fleet) == Counter([*run_ids, *(row["id"] for row in scheduled)])
