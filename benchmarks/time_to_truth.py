"""From SIGKILL to truth: how long until the ledger says what became of a killed worker's run.

With the sentinel beside the worker, and without it - as when the host is lost - so that the lease
has to run out and a sweep to find it. Beside the victims runs a bystander that must not be judged.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.rows import Row, row
from benchmarks.stand import LEASE_S, SWEEP_S, Stand, declare, stand
from lastword.identity import RunId
from lastword.reading.workers import list_workers
from lastword.starting import start_in

T = TypeVar("T")

#: Who does what; the bystander's worker is never killed.
QUEUES = {"once": "victims", "again": "victims", "bystander": "bystanders"}


def measure_time_to_truth(databases: Sequence[str], *, kills: int) -> Iterator[Row]:
    """Kill a worker in the middle of a run, `kills` times, with its sentinel and without.

    The value of a row is the median; not one of the times may be out of the bound.
    """
    for database in databases:
        for sentinel in (True, False):
            yield _measured(database, kills, sentinel=sentinel)


def _measured(database: str, kills: int, *, sentinel: bool) -> Row:
    with stand(database) as here:
        for actor_name, queue in QUEUES.items():
            declare(here, actor_name, queue=queue)
        here.supervisor.run("scheduler", "scheduler")
        for number in range(2):
            _worker(here, f"victim-{number}", "victims")
        _worker(here, "bystander", "bystanders")
        never, end = here.folder / "never", here.folder / "end"
        bystander = _start(here, "bench.bystander", end)
        _running(here, bystander)
        seconds = [
            _kill(here, ("bench.once", "bench.again")[number % 2], never, sentinel=sentinel)
            for number in range(kills)
        ]
        end.touch()
        _until(lambda: _row(here, bystander)["completed_at"])
        false = _false_verdicts(here, bystander, kills)
    name = f"kill to truth, {database}, {'with' if sentinel else 'without'} sentinel"
    # Half a second beyond the sweep: a sweep takes time itself, and its interval has jitter.
    return _judged(name, sorted(seconds), 1.0 if sentinel else LEASE_S + SWEEP_S + 0.5, false)


def _judged(name: str, ordered: Sequence[float], bound_s: float, false_verdicts: int) -> Row:
    return row(
        name,
        "s",
        ordered[len(ordered) // 2],
        runs=len(ordered),
        p95=round(ordered[int(len(ordered) * 0.95)], 3),
        max=round(ordered[-1], 3),
        bound=f"max < {bound_s:g} s, no false verdict",
        within=ordered[-1] < bound_s and not false_verdicts,
        false_verdicts=false_verdicts,
    )


def _kill(here: Stand, operation: str, never: Path, *, sentinel: bool) -> float:
    run_id = _start(here, operation, never)
    victim = _running(here, run_id)
    watching = _until(lambda: _sentinel_of(victim["pid"]))
    if not sentinel:
        os.kill(watching, signal.SIGKILL)
    os.kill(victim["pid"], signal.SIGKILL)
    killed_ms = _now_ms(here)
    kinds = ("completed", "redispatched")
    event = _until(lambda: _event(here, run_id, kinds))
    if event["kind"] == "redispatched":
        # It may be working again by now, in a worker that is not to be the next victim.
        _until(lambda: _row(here, run_id)["attempt"] > victim["attempt"])
        _cancel(here, run_id)
    return float(event["at"] - killed_ms) / 1000


def _false_verdicts(here: Stand, bystander: RunId, kills: int) -> int:
    # Each killed run was judged once, for the loss it had; the bystander was not judged at all.
    with here.ledger.session():
        [facts] = here.ledger.execute(
            "SELECT COUNT(*) AS judged FROM lastword_event "
            "WHERE source IN ('sentinel', 'generic') AND reason = 'worker_lost'"
        )
    its = _row(here, bystander)
    right = (its["outcome"], its["attempt"], its["lost_deliveries"]) == ("succeeded", 1, 0)
    return abs(int(facts["judged"]) - kills) + int(not right)


def _worker(here: Stand, name: str, queue: str) -> None:
    arguments = ("benchmarks.application", "--threads", "1", "--queues", queue)
    here.supervisor.run(name, "worker", *arguments)


def _start(here: Stand, operation: str, until_file: Path) -> RunId:
    inputs = {"until_file": f"{until_file}"}
    return start_in(
        here.application, operation, inputs=inputs, tenant=None, initiator="bench"
    ).run_id


def _cancel(here: Stand, run_id: RunId) -> None:
    from lastword.service import RunService

    RunService(here.ledger).cancel([run_id], by="bench")
    _until(lambda: _row(here, run_id)["completed_at"])


def _running(here: Stand, run_id: RunId) -> dict[str, Any]:
    run = _until(lambda: its if (its := _row(here, run_id))["status"] == "running" else None)
    [worker] = [item for item in list_workers(here.ledger) if item["id"] == run["worker_id"]]
    return {**worker, "attempt": run["attempt"]}


def _sentinel_of(pid: int) -> int | None:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == pid and b"lastword_middleware.sentinel" in command:
            return int(folder.name)
    return None


def _row(here: Stand, run_id: RunId) -> dict[str, Any]:
    with here.ledger.session():
        [found] = here.ledger.execute(
            f"SELECT * FROM lastword_run WHERE id = {here.ledger.dialect.param}", run_id
        )
    return found


def _event(here: Stand, run_id: RunId, kinds: tuple[str, ...]) -> dict[str, Any] | None:
    with here.ledger.session():
        rows = here.ledger.execute(
            f"SELECT * FROM lastword_event WHERE run_id = {here.ledger.dialect.param} ORDER BY id",
            run_id,
        )
    return next((row for row in rows if row["kind"] in kinds), None)


def _now_ms(here: Stand) -> int:
    with here.ledger.session():
        [row] = here.ledger.execute(f"SELECT {here.ledger.dialect.now_ms} AS now")
    return int(row["now"])


def _until(condition: Callable[[], T | None], *, within_s: float = 60.0) -> T:
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {condition}")
        time.sleep(0.01)
