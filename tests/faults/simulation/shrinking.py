"""From a life that broke to the fewest moves that still break it in the same way."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from tests.faults.simulation.moves import Fault, Go, Move

Breaks = Callable[[Sequence[Move]], bool]


def shrink(moves: Sequence[Move], breaks: Breaks) -> list[Move]:
    """Delta debugging: leave out ever smaller pieces, as long as it breaks without them.

    Args:
        moves: what breaks.
        breaks: whether moves still break it.
    """
    left = list(moves)
    size = max(1, len(left) // 2)
    while True:
        shorter = _without_pieces(left, size, breaks)
        if size == 1 and len(shorter) == len(left):
            return _without_faults(left, breaks)
        if len(shorter) == len(left):
            size = max(1, size // 2)
        left = shorter


def mark_of(failure: BaseException) -> str:
    """Where it failed: two failures of one mark are taken for the same."""
    frames = traceback.extract_tb(failure.__traceback__)
    return f"{type(failure).__name__} in {frames[-1].name}:{frames[-1].line}"


def code_of(moves: Sequence[Move], *, with_worker: bool, name: str) -> str:
    """A test of these moves, to be pasted."""
    lines = [f"        {move!r}," for move in moves]
    return "\n".join(
        [
            f"def test_{name}() -> None:",
            "    moves = [",
            *lines,
            "    ]",
            f"    require_sound(replay(new_ledger(), moves, with_worker={with_worker}))",
        ]
    )


def _without_pieces(moves: list[Move], size: int, breaks: Breaks) -> list[Move]:
    left, start = list(moves), 0
    while start < len(left):
        shorter = left[:start] + left[start + size :]
        if breaks(shorter):
            left = shorter
        else:
            start += size
    return left


def _without_faults(moves: list[Move], breaks: Breaks) -> list[Move]:
    left = list(moves)
    for place, move in enumerate(left):
        if isinstance(move, Go) and move.fault != Fault.NONE:
            calmer = [*left[:place], Go(move.actor), *left[place + 1 :]]
            left = calmer if breaks(calmer) else left
    return left
