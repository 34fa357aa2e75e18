"""A whole life: its moves, drawn by a seed or given, and what it comes to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.life import POLICIES
from tests.faults.simulation.actors import Actor, Actors
from tests.faults.simulation.moves import (
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
    Start,
    Stop,
)
from tests.faults.simulation.stage import FIRST_MS, Stage
from tests.faults.simulation.turns import LedgerOfTurns

#: Moves of a life before it comes to rest.
MOVES = 120

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
    (Does.DRAGS,): 2,
    (Does.THROWS,): 2,
    (Does.PARTLY,): 1,
    (Does.DEFERS, Does.SUCCEEDS): 2,
    (Does.DEFERS,): 1,
    (Does.DECLINES,): 1,
    (Does.BEARS,): 3,
}


@dataclass(frozen=True, slots=True)
class Lived:
    """What a life came to.

    Attributes:
        moves: those that were made before it came to rest.
        failure: what did not hold; None if everything did.
        calls: how many calls were made, to the end.
        turns: how many turns were taken, to the end.
        runs: how many runs were started.
        virtual_ms: how much time passed in it.
        mark: of all that was done and came of it, to compare lives by.
    """

    moves: tuple[Move, ...]
    with_worker: bool
    failure: BaseException | None
    calls: int
    turns: int
    runs: int
    virtual_ms: int
    mark: str


def new_ledger() -> LedgerOfTurns:
    """A ledger for many lives."""
    return LedgerOfTurns(Actors(FIRST_MS))


def live(ledger: LedgerOfTurns, seed: int, *, moves: int = MOVES) -> Lived:
    """Lead the life of a seed."""
    random = Random(seed)
    stage = Stage(ledger)
    dealer = _Dealer(random, stage)
    made: list[Move] = []
    with_worker = random.random() < 0.5

    def lead() -> None:
        for _ in range(moves):
            move = dealer.deal()
            made.append(move)
            stage.do(move)

    return _led(stage, lead, made, with_worker=with_worker)


def replay(ledger: LedgerOfTurns, moves: Sequence[Move], *, with_worker: bool) -> Lived:
    """Lead a life of these moves; one that cannot be made is nothing."""
    stage = Stage(ledger)

    def lead() -> None:
        for move in moves:
            stage.do(move)

    return _led(stage, lead, list(moves), with_worker=with_worker)


def require_sound(lived: Lived) -> None:
    """Raise what did not hold in a life, if anything did not."""
    if lived.failure is not None:
        raise lived.failure


def _led(stage: Stage, lead: Callable[[], None], made: list[Move], *, with_worker: bool) -> Lived:
    failure: BaseException | None = None
    try:
        lead()
        stage.come_to_rest(with_worker=with_worker)
    except Exception as error:  # noqa: BLE001 - whatever breaks is what is looked for
        failure = error
    runs = stage.checks.seen.runs.values()
    told = tuple((row["id"], row["status"], row["outcome"], row["reason"]) for row in runs)
    stage.close()
    return Lived(
        moves=tuple(made),
        with_worker=with_worker,
        failure=failure,
        calls=stage.actors.calls,
        turns=stage.actors.turns,
        runs=len(stage.starts),
        virtual_ms=stage.actors.now - FIRST_MS,
        mark=hashlib.sha256(f"{made}{told}".encode()).hexdigest()[:16],
    )


class _Dealer:
    """Draws moves, from what can happen as things stand."""

    def __init__(self, random: Random, stage: Stage) -> None:
        self._random = random
        self._stage = stage
        self._slow = random.choice((0.0, 0.02, 0.2, 1.0))
        self._opening: list[Move] = [Boot(), self._start(), self._start(), Boot()]

    def deal(self) -> Move:
        """The next move."""
        if self._opening:
            return self._opening.pop(0)
        drawn = self._random.randrange(1000)
        for name, share in RARE.items():
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
            "pass": Pass(random.choice(MOMENTS_MS)),
        }
        return others.get(name)

    def _start(self) -> Start:
        random = self._random
        does = random.choices(list(_DOES), weights=list(_DOES.values()))[0]
        return Start(
            operation=random.choice(sorted(POLICIES)),
            does=tuple(str(item) for item in does),
            identity=random.choice(("same", None, None)),
            delay_s=random.choice((0, 0, 0, 20)),
            by_person=random.random() < 0.4,
            unmarked=random.random() < 0.15,
        )
