"""Leads lives of seeds, and prints what breaks: the seed, the fewest moves, a test to paste."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable

from tests.faults.simulation.life import MOVES, Lived, live, new_ledger, replay
from tests.faults.simulation.moves import Move
from tests.faults.simulation.shrinking import code_of, mark_of, shrink
from tests.faults.simulation.turns import LedgerOfTurns

#: Lives on one ledger: its audit log, which nobody may empty, grows.
LIVES_OF_A_LEDGER = 500


def main() -> int:
    """Lead lives; 1 if something broke."""
    asked = _asked()
    logging.disable(logging.CRITICAL)
    if asked.seed is not None:
        return _look_closely(asked.seed, moves=asked.moves)
    deadline = time.monotonic() + asked.minutes * 60 if asked.minutes else None
    seeds: Iterable[int] = range(asked.first, asked.first + asked.seeds)
    began, sums = time.monotonic(), Counter[str]()
    broken: list[int] = []
    for seed, ledger in zip(seeds, _ledgers(), strict=False):
        if deadline is not None and time.monotonic() > deadline:
            break
        lived = live(ledger, seed, moves=asked.moves)
        _add(sums, lived)
        if lived.failure is not None:
            broken.append(seed)
            print(f"seed {seed}: {mark_of(lived.failure)}", flush=True)
            if asked.stop:
                break
    print(_told(sums, time.monotonic() - began, broken))
    return 1 if broken else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="lead this one life, and shrink what breaks")
    parser.add_argument("--first", type=int, default=0, help="the first seed of many")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--minutes", type=float, help="end after so long")
    parser.add_argument("--moves", type=int, default=MOVES, help="moves of a life")
    parser.add_argument("--stop", action="store_true", help="stop at the first that breaks")
    return parser.parse_args()


def _ledgers() -> Iterable[LedgerOfTurns]:
    while True:
        yield from itertools.repeat(new_ledger(), LIVES_OF_A_LEDGER)


def _look_closely(seed: int, *, moves: int) -> int:
    ledger = new_ledger()
    lived = live(ledger, seed, moves=moves)
    if lived.failure is None:
        print(f"seed {seed} holds: {lived.calls} calls, {lived.runs} runs, {lived.mark}")
        return 0
    mark = mark_of(lived.failure)

    def breaks(shorter: list[Move]) -> bool:
        again = replay(ledger, shorter, with_worker=lived.with_worker)
        return again.failure is not None and mark_of(again.failure) == mark

    fewest = shrink(lived.moves, breaks)  # type: ignore[arg-type]  # lists are what it is given
    again = replay(ledger, fewest, with_worker=lived.with_worker)
    assert again.failure is not None
    traceback.print_exception(again.failure, file=sys.stdout)
    print(f"\nseed {seed}: {len(lived.moves)} moves, shrunk to {len(fewest)}:\n")
    print(code_of(fewest, with_worker=lived.with_worker, name=f"seed_{seed}"))
    return 1


def _add(sums: Counter[str], lived: Lived) -> None:
    sums["lives"] += 1
    sums["turns"] += lived.turns
    sums["calls"] += lived.calls
    sums["runs"] += lived.runs
    sums["hours"] += lived.virtual_ms


def _told(sums: Counter[str], seconds: float, broken: list[int]) -> str:
    return (
        f"{sums['lives']} lives, {len(broken)} broken {broken[:20]}; {sums['runs']} runs, "
        f"{sums['turns']} turns, {sums['calls']} calls, {sums['hours'] / 3_600_000:.0f} h of their "
        f"time in {seconds:.0f} s: {sums['turns'] / seconds:.0f} turns/s, "
        f"{sums['calls'] / seconds:.0f} calls/s, {sums['lives'] / seconds:.1f} lives/s"
    )


if __name__ == "__main__":
    sys.exit(main())
