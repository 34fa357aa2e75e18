"""How much is measured: all of it, a short look, or just enough to see that it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything.

    Attributes:
        databases: where the ledger is.
        judged: whether ratios out of their bounds are failures: those of short runs are noise.
        rounds: pairs of which a median is taken.
        kills: workers killed, of each kind.
        jobs: in a queue that is worked off.
        processes: of a worker whose jobs a second are measured; each number is.
        kinds: what the jobs do whose jobs a second are measured, each with the prefetch that both
            sides are given; None for what each chooses by itself.
        costs_on: where the ledger is while the processor time and memory of a worker are measured.
        lone_jobs: started one by one, of a block.
        starts: of a block.
        memory_jobs: that one worker does.
        sweep_least: rows of the ledger that the sweeps of larger ones are compared to.
        sweep_totals: rows of the larger ones.
        total: rows of the ledger that is scraped and listed.
        active: those of them that are not completed; of the swept ones too.
        answers: to each path of the list.
        seconds: of each look at what the machine allows.
        pruned: completed runs that are removed.
        fleet: workers whose heartbeats are simulated; all together hold the active runs.
        fleet_seconds: for how long.
        peer_jobs: that each peer does; 0 if none is asked.
    """

    databases: Sequence[str] = ("sqlite", "postgresql")
    judged: bool = True
    rounds: int = 3
    kills: int = 50
    jobs: int = 20_000
    processes: Sequence[int] = (1, 2)
    kinds: Sequence[tuple[str, int | None]] = (
        *(("no-op", None), ("no-op", 256), ("no-op", 1024)),
        *(("1 ms", None), ("1 ms", 256), ("1 ms", 1024)),
        ("never repeated no-op", None),
    )
    costs_on: Sequence[str] = ("sqlite", "postgresql")
    lone_jobs: int = 150
    starts: int = 500
    memory_jobs: int = 200_000
    sweep_least: int = 100_000
    sweep_totals: Sequence[int] = (1_000_000, 10_000_000)
    total: int = 1_000_000
    active: int = 10_000
    answers: int = 40
    seconds: float = 2.0
    pruned: int = 100_000
    fleet: int = 100
    fleet_seconds: float = 10.0
    peer_jobs: int = 5_000


FULL = Sizes()

#: Under five minutes, against bare Dramatiq only.
QUICK = Sizes(
    judged=False,
    rounds=1,
    kills=2,
    jobs=3_000,
    processes=(1,),
    kinds=(("no-op", None), ("no-op", 256), ("1 ms", None)),
    costs_on=("sqlite",),
    lone_jobs=25,
    starts=100,
    memory_jobs=12_000,
    sweep_least=5_000,
    sweep_totals=(50_000,),
    total=50_000,
    active=1_000,
    answers=20,
    seconds=0.3,
    pruned=5_000,
    fleet=20,
    fleet_seconds=3.0,
    peer_jobs=0,
)

#: What the tests run.
TINY = Sizes(
    databases=("sqlite",),
    judged=False,
    rounds=1,
    kills=1,
    jobs=50,
    processes=(1,),
    kinds=(("no-op", None),),
    costs_on=("sqlite",),
    lone_jobs=3,
    starts=5,
    memory_jobs=80,
    sweep_least=300,
    sweep_totals=(600,),
    total=600,
    active=100,
    answers=3,
    seconds=0.05,
    pruned=200,
    fleet=3,
    fleet_seconds=1.0,
    peer_jobs=0,
)


def sizes_of(environment: Mapping[str, str] = os.environ) -> Sizes:
    """The sizes that `QUICK=1` and `TINY=1` ask for."""
    if environment.get("TINY"):
        return TINY
    return QUICK if environment.get("QUICK") else FULL
