"""What a worker process asks of Python and of the kernel: fewer looks for garbage, one CPU."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections import Counter
from pathlib import Path

from lastword.errors import LastwordError

#: Seconds after which a thread that computes lets another one, all of them on one CPU.
TURN_S = 0.02

_PROCESSES = Path("/proc")


def collect_less(threshold: int) -> None:
    """Look for cycles of garbage after so many new objects, and not among those of the start.

    Python looks after 700. A worker makes that many with every few messages, nearly all of which
    are gone by then without any look.

    Args:
        threshold: how many more objects were made than freed; 0 leaves Python as it is.
    """
    if threshold == 0:
        return
    # What was imported stays: nobody has to look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(threshold, 20, 20)


def stay_on_one_cpu() -> int:
    """Keep every thread of this process on one CPU, and what it starts from now on; which.

    Only one thread of a process runs Python at a time. On several CPUs they wake each other across
    them for every turn, which costs short jobs more than the jobs. On one they gain nothing by
    taking turns often either.

    Raises:
        LastwordError: the system has no way to do it.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise LastwordError(
            "one_cpu is set, and this system cannot keep a process on a CPU",
            expected="Linux",
            mend="set one_cpu to false",
        )
    cpu = _least_taken(os.sched_getaffinity(0), turn=_turn())
    for thread in (_PROCESSES / "self" / "task").iterdir():
        os.sched_setaffinity(int(thread.name), {cpu})
    sys.setswitchinterval(TURN_S)
    return cpu


def _turn() -> int:
    # Dramatiq starts its processes one after the other, at the same moment: they cannot see yet
    # where the others are. Python names them Process-1, Process-2 and so on.
    number = multiprocessing.current_process().name.rpartition("-")[2]
    return int(number) - 1 if number.isdecimal() else 0


def _least_taken(allowed: set[int], *, turn: int) -> int:
    # Of the CPUs that it may use, one that the fewest other processes are kept on.
    taken = Counter(_kept_on())
    fewest = min(taken[cpu] for cpu in allowed)
    free = sorted(cpu for cpu in allowed if taken[cpu] == fewest)
    return free[turn % len(free)]


def _kept_on() -> list[int]:
    cpus: list[int] = []
    for process in _PROCESSES.glob("[0-9]*"):
        try:
            allowed = os.sched_getaffinity(int(process.name))
            is_kernels = not (process / "cmdline").read_bytes()
        except OSError:
            continue  # It has ended, or is somebody else's.
        if len(allowed) == 1 and not is_kernels:
            cpus += allowed
    return cpus
