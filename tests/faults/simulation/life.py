"""A whole life: its moves, drawn by a seed or given, and what it comes to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.simulation.actors import Actors
from tests.faults.simulation.course import Taken
from tests.faults.simulation.dealing import Dealer
from tests.faults.simulation.moves import Move
from tests.faults.simulation.stage import FIRST_MS, Stage
from tests.faults.simulation.turns import LedgerOfTurns

#: Moves of a life before it comes to rest.
MOVES = 120


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
        taken: how often it took each way of an arrow.
        mark: of all that was done and came of it, to compare lives by.
    """

    moves: tuple[Move, ...]
    with_worker: bool
    failure: BaseException | None
    calls: int
    turns: int
    runs: int
    virtual_ms: int
    taken: Counter[Taken]
    mark: str


def new_ledger() -> LedgerOfTurns:
    """A ledger for many lives."""
    return LedgerOfTurns(Actors(FIRST_MS))


def live(ledger: LedgerOfTurns, seed: int, *, moves: int = MOVES) -> Lived:
    """Lead the life of a seed."""
    random = Random(seed)
    stage = Stage(ledger)
    dealer = Dealer(random, stage)
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
        taken=stage.checks.course.taken,
        mark=hashlib.sha256(f"{made}{told}".encode()).hexdigest()[:16],
    )
