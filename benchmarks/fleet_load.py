"""What many workers cost a ledger while they do nothing but live: heartbeats beside real sweeps.

Each worker is registered, has claimed its runs through the service, and beats with its real calls:
its own, with the list of its runs, and its sentinel's. Time is compressed: they beat more often
than by default. What that comes to at the defaults is a share of what the ledger can take.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from benchmarks.backlog import OPERATION
from benchmarks.beating import Orders, beat_on
from benchmarks.stand import Stand, stand
from lastword.config import Config
from lastword.identity import RunId, WorkerId, new_run_id, new_worker_id
from lastword.service import RunService, WorkerService
from lastword.service.requests import NewRun
from lastword.service.values import Delivery
from lastword.service.workers import NewWorker
from lastword_scheduler.timetable import generic_reconciler

#: Processes that the workers of the simulation share.
PROCESSES = 2

#: Seconds; longer than everything that is measured.
LEASE_S = 3_600.0

#: Milliseconds that 99 of 100 heartbeats may take: half of the interval between two of them.
BOUND_MS = Config().heartbeat_interval * 1000 / 2

#: The share of what a ledger can take that a fleet at the default intervals may use.
BOUND_SHARE = 0.5


@dataclass
class Load:
    """What was measured. Durations are in seconds.

    Attributes:
        beats_s: how long each heartbeat took, beside the sweeps.
        most_per_s: heartbeats in a second when each follows the one before.
        sweeps_s: how long each sweep took, beside the heartbeats.
        sweep_cpu_s: the processor's time of a sweep in the process that makes it.
        beat_cpu_s: that of a heartbeat in the process of its worker.
    """

    beats_s: list[float] = field(default_factory=list)
    most_per_s: float = 0.0
    sweeps_s: list[float] = field(default_factory=list)
    sweep_cpu_s: float = 0.0
    beat_cpu_s: float = 0.0


def measure_fleet(
    databases: Sequence[str],
    *,
    workers: int,
    runs_each: int,
    times: float,
    seconds: float,
) -> list[dict[str, Any]]:
    """Heartbeats and sweeps of a fleet.

    Args:
        databases: what to measure on.
        workers: how many there are.
        runs_each: active runs of each.
        times: how many times as often as by default they beat and are swept.
        seconds: for how long; then half as long without a pause between two beats.
    """
    rows = []
    for database in databases:
        with stand(database) as here:
            fleet = _fleet(here, workers, runs_each)
            load = _loaded(here, fleet, times=times, seconds=seconds)
        name = f"{workers:,} workers of {runs_each} runs, {database}"
        rows += _rows(name, load, workers=workers, times=times)
    return rows


def _rows(name: str, load: Load, *, workers: int, times: float) -> list[dict[str, Any]]:
    config = Config()
    cuts = statistics.quantiles(load.beats_s, n=100, method="inclusive")
    # A worker's own heartbeat and its sentinel's.
    wanted_per_s = 2 * workers / config.heartbeat_interval
    share = wanted_per_s / load.most_per_s
    sweep_s = statistics.median(load.sweeps_s)
    beats, sweeps, often = len(load.beats_s), len(load.sweeps_s), f"{times:g} times as often"
    busy = load.sweep_cpu_s / config.sweep_interval
    return [
        _row(f"heartbeat p50 at {often}, {name}", "ms", cuts[49] * 1000, beats),
        _row(f"heartbeat p99 at {often}, {name}", "ms", cuts[98] * 1000, beats, BOUND_MS),
        _row(f"heartbeats possible, {name}", "1/s", load.most_per_s, beats),
        _row(f"ledger's share for heartbeats by default, {name}", "", share, beats, BOUND_SHARE),
        _row(f"heartbeat's own processor time, {name}", "ms", load.beat_cpu_s * 1000, beats),
        _row(f"sweep at {often}, {name}", "s", sweep_s, sweeps, config.sweep_interval),
        _row(f"share of one core for sweeps by default, {name}", "", busy, sweeps, BOUND_SHARE),
    ]


def _row(
    name: str, unit: str, value: float, runs: int, bound: float | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "unit": unit,
        "value": round(value, 4),
        "baseline": None,
        "ratio": None,
        "runs": runs,
        "bound": None if bound is None else f"{bound:g} {unit}".strip(),
        "within": None if bound is None else value < bound,
    }


def _fleet(here: Stand, workers: int, runs_each: int) -> dict[WorkerId, list[RunId]]:
    """Workers that have claimed their runs."""
    runs, policy = RunService(here.ledger), here.config.policy(OPERATION)
    fleet: dict[WorkerId, list[RunId]] = {}
    for number in range(workers):
        worker_id = new_worker_id()
        worker = NewWorker(worker_id, "host", number, "1", threads=8, broker_id=worker_id)
        WorkerService(here.ledger).boot(worker, lease_ttl_s=LEASE_S)
        run_ids = [new_run_id() for _ in range(runs_each)]
        runs.accept([NewRun(run_id, policy, "bystander", "{}") for run_id in run_ids])
        claims = runs.claim([Delivery(run_id, 1) for run_id in run_ids], worker_id=worker_id)
        assert all(claim.refusal is None for claim in claims)
        WorkerService(here.ledger).heartbeat(worker_id, lease_ttl_s=LEASE_S, working=run_ids)
        fleet[worker_id] = run_ids
    with here.ledger.session():
        here.ledger.execute("ANALYZE")
    return fleet


def _loaded(
    here: Stand, fleet: dict[WorkerId, list[RunId]], *, times: float, seconds: float
) -> Load:
    load = Load()
    every_s = Config().heartbeat_interval / times
    timed = _beaten(here, fleet, every_s, seconds, load=load, sweep_every_s=5.0 / times)
    load.beats_s = [took for beats_s, _, _ in timed for took in beats_s]
    load.beat_cpu_s = sum(cpu for _, cpu, _ in timed) / len(load.beats_s)
    at_once = _beaten(here, fleet, 0.0, seconds / 2)
    load.most_per_s = sum(len(beats_s) / took for beats_s, _, took in at_once)
    return load


def _beaten(
    here: Stand,
    fleet: dict[WorkerId, list[RunId]],
    every_s: float,
    seconds: float,
    *,
    load: Load | None = None,
    sweep_every_s: float = 0.0,
) -> list[tuple[list[float], float, float]]:
    """Let the fleet beat; of each process how long each beat took, its processor time, and all."""
    members = list(fleet.items())
    url = here.environment["LASTWORD_DATABASE_URL"]
    shares = [members[part::PROCESSES] for part in range(min(PROCESSES, len(members)))]
    with ExitStack() as stack:
        # Spawned: a fork would share the connections, and the threads of this process would not be.
        pool = stack.enter_context(get_context("spawn").Pool(len(shares)))
        orders = [Orders(url, share, every_s, seconds) for share in shares]
        beaten = pool.map_async(beat_on, orders)
        if load is not None:
            _sweep_on(here, load, sum(map(len, fleet.values())), sweep_every_s, until=beaten.ready)
        return beaten.get(timeout=seconds + 60)


def _sweep_on(here: Stand, load: Load, active: int, every_s: float, *, until: Any) -> None:
    reconciler, spent = generic_reconciler(here.config, here.ledger), []
    while not until():
        began, cpu = time.perf_counter(), time.thread_time()
        report = reconciler.sweep()
        load.sweeps_s.append(time.perf_counter() - began)
        spent.append(time.thread_time() - cpu)
        assert (report.found, report.lost_workers, dict(report.acted)) == (active, 0, {}), report
        time.sleep(max(0.0, every_s - load.sweeps_s[-1]))
    load.sweep_cpu_s = statistics.median(spent)


if __name__ == "__main__":
    measured = measure_fleet(
        ["sqlite", "postgresql"], workers=100, runs_each=100, times=10, seconds=10
    )
    print(json.dumps(measured, indent=1))  # noqa: T201
