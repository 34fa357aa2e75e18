"""Takes every guard away in turn, and prints which test misses it: `make mutations`."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory

from tests.faults.mutations import Mutation
from tests.faults.test_mutations import ALL, AT_ONCE, IMPORTED, require_missed, try_mutation
from tests.forking import Forks


def main() -> int:
    """Try those whose names have the words that are asked for, or all; 1 if one is not missed."""
    wanted = [it for it in ALL if all(word in it.name for word in sys.argv[1:])]
    began, idle = time.monotonic(), Queue[Forks]()
    forks = [Forks("pytest", IMPORTED) for _ in range(AT_ONCE)]
    for one in forks:
        idle.put(one)
    with TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        tried = [
            pool.submit(_is_missed, Path(folder) / str(number), idle, mutation)
            for number, mutation in enumerate(wanted)
        ]
        survivors = [it for it, missed in zip(wanted, tried, strict=True) if not missed.result()]
    for one in forks:
        one.end()
    minutes = (time.monotonic() - began) / 60
    print(
        f"{len(wanted)} guards taken away, {len(wanted) - len(survivors)} missed, "
        f"{len(survivors)} not, in {minutes:.1f} min"
    )
    return 1 if survivors or not wanted else 0


def _is_missed(folder: Path, idle: Queue[Forks], mutation: Mutation) -> bool:
    began, why = time.monotonic(), ""
    try:
        require_missed(mutation, try_mutation(folder, idle, mutation))
    except (AssertionError, subprocess.TimeoutExpired) as error:
        why = f"\n{error}"
    said = "GREEN" if why else "red  "
    seconds = time.monotonic() - began
    print(
        f"{said} {seconds:5.1f} s  {mutation.name}  {'::'.join(mutation.killer)}{why}", flush=True
    )
    return not why


if __name__ == "__main__":
    sys.exit(main())
