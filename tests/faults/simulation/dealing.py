"""Draws the moves of a life, from what can happen as things stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from lastword.states import Outcome
from lastword.storage.ledger import Row
from tests.faults.simulation.actors import Actor
from tests.faults.simulation.moves import (
    Bar,
    Boot,
    Cancel,
    Does,
    Duplicate,
    Fault,
    Flush,
    Go,
    Hold,
    Kill,
    Move,
    Pass,
    Release,
    Spoil,
    Start,
    Stop,
)
from tests.faults.simulation.policies import RECORDED, SHARES
from tests.faults.simulation.stage import Stage

T = TypeVar("T")

#: How often, in a thousand moves, something goes wrong or begins.
RARE = {
    "start": 60,
    "boot": 20,
    "kill": 10,
    "hold": 15,
    "release": 40,
    "stop": 4,
    "cancel": 12,
    "flush": 3,
    "duplicate": 8,
    "bar": 8,
    "spoil": 14,
    "pass": 60,
}
FAULTS_IN_A_THOUSAND = 40

#: Milliseconds: within a hold, just at its end, past a lease, past a hold's limits.
MOMENTS_MS = (1, 50, 900, 4_000, 4_001, 10_001, 20_001, 30_001)

MOST_RUNS = 5
MOST_WORKERS = 3

#: What runs do, each with how often.
_DOES = {
    (Does.SUCCEEDS,): 8,
    (Does.RETRIES, Does.SUCCEEDS): 4,
    (Does.RETRIES,): 2,
    (Does.KILLS,): 3,
    (Does.KILLS, Does.SUCCEEDS): 2,
    (Does.DRAGS,): 3,
    (Does.THROWS,): 2,
    (Does.PARTLY,): 1,
    (Does.DEFERS, Does.SUCCEEDS): 2,
    (Does.DEFERS,): 1,
    (Does.DECLINES,): 1,
    (Does.BEARS,): 3,
    (Does.BEARS_BADLY,): 1,
    (Does.BEARS_BOTH,): 1,
}

#: The same of those with a record of their work.
_DOES_WITH_RECORD = {
    (Does.RECORDS,): 3,
    (Does.RECORDS_AND_KILLS,): 6,
    (Does.RETRIES, Does.RECORDS_AND_KILLS): 1,
    (Does.RECORDS_AND_RETRIES,): 9,
    (Does.KILLS, Does.RECORDS): 1,
}

#: The ends that records hold.
_RECORDS = tuple(sorted(set(Outcome) - {Outcome.PENDING}))

#: The same of those whose children do not all succeed.
_BEARS: dict[tuple[Does, ...], int] = {
    (Does.BEARS,): 2,
    (Does.BEARS_BADLY,): 2,
    (Does.BEARS_BOTH,): 2,
}

#: The same of those that are tried again.
_FAILS: dict[tuple[Does, ...], int] = {(Does.RETRIES,): 1, (Does.DEFERS,): 1}

#: The same of those that last until something happens to them.
_LASTS: dict[tuple[Does, ...], int] = {(Does.DRAGS,): 2, (Does.SUCCEEDS,): 1}


@dataclass(frozen=True, slots=True)
class Mood:
    """What a life has more of than others.

    Attributes:
        shares: how often each operation is started.
        does: what its runs do, unless they have a record.
        rare: how often something goes wrong or begins, where that differs.
    """

    shares: dict[str, int] = field(default_factory=lambda: SHARES)
    does: dict[tuple[Does, ...], int] = field(default_factory=lambda: _DOES)
    rare: dict[str, int] = field(default_factory=dict)


#: Most lives have something of everything.
MOODS = (
    *[Mood()] * 6,
    *[Mood(shares={"report.backup": 1, "report.restore": 1})] * 4,
    Mood(shares={"report.build": 1}, does=_BEARS, rare={"cancel": 40}),
    Mood(shares={"report.build": 1}, does=_FAILS, rare={"cancel": 60}),
    Mood(shares={"report.parts": 1}, does=_LASTS, rare={"kill": 25, "cancel": 30}),
)


class Dealer:
    """Draws moves, from what can happen as things stand."""

    def __init__(self, random: Random, stage: Stage) -> None:
        self._random = random
        self._stage = stage
        self._slow = random.choice((0.0, 0.02, 0.2, 1.0))
        self._mood = random.choice(MOODS)
        self._rates = {**RARE, **self._mood.rare}
        self._opening: list[Move] = [Boot(), self._start(), self._start(), Boot()]

    def deal(self) -> Move:
        """The next move."""
        if self._opening:
            return self._opening.pop(0)
        drawn = self._random.randrange(1000)
        for name, share in self._rates.items():
            drawn -= share
            if drawn < 0:
                rare = self._rare(name)
                return rare or self._turn()
        return self._turn()

    def _turn(self) -> Move:
        ready = self._stage.actors.ready()
        # Some sleep through everything for a while: whole phases of others come in between.
        awake = [actor for actor in ready if not self._is_slow(actor)] or ready
        if not awake:
            wakes = self._stage.actors.next_wake()
            return Pass(wakes - self._stage.actors.now if wakes else 1_000)
        actor = self._random.choice(awake)
        fault = Fault.NONE
        if self._random.randrange(1000) < FAULTS_IN_A_THOUSAND:
            fault = self._random.choice((Fault.REFUSED, Fault.LOST))
        return Go(actor.name, fault.value)

    def _is_slow(self, actor: Actor) -> bool:
        return sum(actor.name.encode()) % 3 == 0 and self._random.random() > self._slow

    def _rare(self, name: str) -> Move | None:
        stage, random = self._stage, self._random
        workers = list(stage.processes)
        run = random.randint(1, max(1, len(stage.starts)))
        found = self._fit(name)
        if found and random.random() < 0.7:
            run = _number_of(random.choice(found))
        if name == "start" and len(list(stage.open_runs())) < MOST_RUNS:
            return self._start()
        if name == "boot" and len(workers) < MOST_WORKERS:
            return Boot()
        if name == "kill" and workers:
            return Kill(random.choice(workers), is_seen=random.random() < 0.5)
        if name == "hold":
            return Hold(random.choice([*workers, "scheduler-1", "scheduler-2"]))
        if name == "release" and stage.actors.held:
            return Release(random.choice(sorted(stage.actors.held)))
        if name == "stop" and workers:
            return Stop(random.choice(workers))
        others: dict[str, Move] = {
            "cancel": Cancel(run),
            "flush": Flush(),
            "duplicate": Duplicate(run),
            "bar": Bar(run),
            "spoil": Spoil(run, random.choice(("garbled", "forged"))),
            "pass": Pass(random.choice(MOMENTS_MS)),
        }
        return others.get(name)

    def _fit(self, name: str) -> list[str]:
        # To most runs most of this cannot happen any more.
        runs = self._stage.checks.seen.runs.values()
        match name:
            case "cancel":
                waiting = [row["id"] for row in runs if _waits_for_children(row)]
                running = [row["id"] for row in runs if row["status"] == "running"]
                active = [row["id"] for row in runs if row["status"] != "completed"]
                return waiting or (running if self._random.random() < 0.6 else active)
            case "bar":
                return [row["id"] for row in runs if row["status"] == "queued"]
            case "spoil" | "duplicate":
                queues = self._stage.queues
                return [queues.notes[ref].run_id for refs in queues.ready.values() for ref in refs]
        return []

    def _start(self) -> Start:
        random = self._random
        operation = _drawn(random, self._mood.shares)
        does = _drawn(random, _DOES_WITH_RECORD if operation in RECORDED else self._mood.does)
        return Start(
            operation=operation,
            does=tuple(str(item) for item in does),
            identity=random.choice(("same", None, None)),
            delay_s=random.choice((0, 0, 0, 20)),
            by_person=random.random() < 0.4,
            unmarked=random.random() < 0.15,
            is_refused=random.random() < 0.04,
            expires_s=random.choice((0, 0, 0, 0, 0, 1, 9)),
            records=str(random.choice(_RECORDS)) if operation in RECORDED else None,
        )


def _waits_for_children(row: Row) -> bool:
    return row["returned_at"] is not None and row["status"] == "running"


def _number_of(run_id: str) -> int:
    return int(run_id.rpartition("-")[2])


def _drawn(random: Random, shares: Mapping[T, int]) -> T:
    return random.choices(list(shares), weights=list(shares.values()))[0]
