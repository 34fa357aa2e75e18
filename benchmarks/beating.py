"""Workers that do nothing but beat: a process with a share of a simulated fleet."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lastword.identity import RunId, WorkerId
from lastword.service import WorkerService
from lastword.storage.opening import open_ledger

#: Threads, and so connections, that the workers of one process share.
THREADS = 8

#: Seconds; longer than everything that is measured.
LEASE_S = 3_600.0

Member = tuple[WorkerId, list[RunId]]


@dataclass(frozen=True)
class Orders:
    """What a process is to do.

    Attributes:
        members: its workers, each with its runs.
        every_s: seconds between two heartbeats of one worker; 0: at once.
        seconds: for how long.
    """

    url: str
    members: Sequence[Member]
    every_s: float
    seconds: float


def beat_on(orders: Orders) -> tuple[list[float], float, float]:
    """Beat; how long each beat took, the processor's time of it all, and how long that was."""
    logging.getLogger("lastword").setLevel(logging.CRITICAL)
    service = WorkerService(open_ledger(orders.url))
    took_s: list[float] = []
    groups = [orders.members[part::THREADS] for part in range(min(THREADS, len(orders.members)))]
    began, cpu = time.perf_counter(), time.process_time()
    threads = [
        threading.Thread(target=_beat_in_turn, args=(service, group, orders, took_s))
        for group in groups
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took_s, time.process_time() - cpu, time.perf_counter() - began


def _beat_in_turn(
    service: WorkerService, members: Sequence[Member], orders: Orders, took_s: list[float]
) -> None:
    began = time.perf_counter()
    beats = 0
    while (now := time.perf_counter()) < began + orders.seconds:
        # Evenly spread, as workers are that were not started in the same moment.
        due = began + beats * orders.every_s / len(members)
        if now < due:
            time.sleep(due - now)
        worker_id, working = members[beats % len(members)]
        _beat(service, worker_id, working, took_s)
        beats += 1
    service.ledger.leave_thread()


def _beat(
    service: WorkerService, worker_id: WorkerId, working: Sequence[RunId], took_s: list[float]
) -> None:
    began = time.perf_counter()
    beat = service.heartbeat(worker_id, lease_ttl_s=LEASE_S, working=working, listed_at_ms=1)
    between = time.perf_counter()
    assert beat is not None
    assert len(beat.current) == len(working)
    # What the sentinel beside it does meanwhile.
    assert service.renew(worker_id, lease_ttl_s=LEASE_S)
    took_s += [between - began, time.perf_counter() - between]
