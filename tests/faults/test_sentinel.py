"""The sentinel beside a worker, as real processes: what it sees, how soon, and what it outlives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lastword.reading.workers import list_workers
from lastword.storage.ledger import Row
from lastword_middleware.autopsy import cause_of_death, is_stopped, oom_kills, open_process
from tests.fleets import Fleet
from tests.processes import KERNEL_TELLS, alive, ended_by, processes_of
from tests.support import until
from tests.workers import counter


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database is enough for what a sentinel sees; `make bench` has both."""
    return sqlite_url


def sentinels(fleet: Fleet) -> list[int]:
    found = processes_of(str(fleet.folder))
    return [pid for pid, command in found.items() if "lastword_middleware.sentinel" in command]


def ignores_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [mask] = [line.split()[1] for line in lines if line.startswith("SigIgn:")]
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def cause(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(row["reconciliation"])["evidence"]["worker"]
    return told


def test_the_loss_of_a_killed_worker_is_written_within_a_second_with_its_signal(
    fleet: Fleet,
) -> None:
    # No scheduler runs: nobody but the sentinel is there to write it.
    fleet.worker()
    run_id = fleet.start("once", until_file=str(fleet.folder / "never"))
    worker = fleet.running(run_id)
    until(lambda: sentinels(fleet))
    os.kill(worker["pid"], signal.SIGKILL)
    killed_ms = now_ms(fleet)
    row = fleet.scene.completed(run_id)
    assert row["completed_at"] - killed_ms < 1000
    assert (row["outcome"], row["reason"], row["closed_by"]) == (
        "failed",
        "worker_lost",
        "sentinel",
    )
    assert ended_by(cause(row), signal="SIGKILL")
    assert cause(row)["pid"] == worker["pid"]
    known = {item["id"]: item for item in list_workers(fleet.scene.ledger)}
    assert known[worker["id"]]["ending"] == "lost"
    assert ended_by(known[worker["id"]]["cause"], signal="SIGKILL")


def test_a_run_that_may_be_repeated_is_on_the_queue_again_within_a_second(fleet: Fleet) -> None:
    fleet.worker()
    go_on = fleet.folder / "go-on"
    run_id = fleet.start("work", until_file=str(go_on))
    worker = fleet.running(run_id)
    until(lambda: sentinels(fleet))
    os.kill(worker["pid"], signal.SIGKILL)
    killed_ms = now_ms(fleet)
    until(lambda: "redispatched" in fleet.scene.kinds(run_id))
    [event] = [item for item in fleet.scene.events(run_id) if item["kind"] == "redispatched"]
    assert event["at"] - killed_ms < 1000
    assert event["source"] == "sentinel"
    # Sent, too, and by nobody else: the supervisor's next worker does it.
    go_on.touch()
    assert fleet.scene.completed(run_id)["attempt"] == 2


def now_ms(fleet: Fleet) -> int:
    ledger = fleet.scene.ledger
    with ledger.session():
        return int(ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")[0]["now"])


def test_a_sentinel_outlives_its_workers_whole_group_and_then_ends(fleet: Fleet) -> None:
    fleet.worker()
    run_id = fleet.start("once", until_file=str(fleet.folder / "never"))
    worker = fleet.running(run_id)
    [watching] = until(lambda: [pid for pid in sentinels(fleet) if ignores_sigterm(pid)])
    # What stops a unit tells every process of it; the sentinel has something left to do.
    os.kill(watching, signal.SIGTERM)
    os.killpg(os.getpgid(worker["pid"]), signal.SIGKILL)
    row = fleet.scene.completed(run_id)
    assert row["closed_by"] == "sentinel"
    until(lambda: not alive(watching), what="the sentinel to end")


def test_a_worker_that_stops_in_good_order_leaves_no_sentinel_and_no_cause(fleet: Fleet) -> None:
    fleet.worker()
    [worker] = until(lambda: list_workers(fleet.scene.ledger))
    until(lambda: sentinels(fleet))
    fleet.supervisor.__exit__(None, None, None)
    assert sentinels(fleet) == []
    [row] = list_workers(fleet.scene.ledger)
    assert (row["id"], row["ending"], row["cause"]) == (worker["id"], "stopped", None)


def test_a_sentinel_that_dies_is_replaced(fleet: Fleet) -> None:
    fleet.worker()
    [first] = until(lambda: sentinels(fleet))
    os.kill(first, signal.SIGKILL)
    [second] = until(lambda: [pid for pid in sentinels(fleet) if pid != first])
    run_id = fleet.start("once", until_file=str(fleet.folder / "never"))
    os.kill(fleet.running(run_id)["pid"], signal.SIGKILL)
    assert fleet.scene.completed(run_id)["closed_by"] == "sentinel"
    until(lambda: not alive(second))


def test_a_worker_that_cannot_tick_is_no_dead_worker(fleet: Fleet) -> None:
    # One call into C that holds the interpreter's lock for longer than a lease.
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker()
    until(lambda: sentinels(fleet))
    run_id = fleet.start("hog", seconds=4.0)
    row = fleet.scene.completed(run_id)
    assert (row["outcome"], row["attempt"], row["lost_deliveries"]) == ("succeeded", 1, 0)
    [worker] = list_workers(fleet.scene.ledger)
    assert worker["lease"] in {"live", "not_ticking"}


def test_a_worker_held_for_longer_than_its_lease_overwrites_nothing_and_is_counted_once(
    fleet: Fleet,
) -> None:
    fleet.supervisor.run("scheduler", "scheduler")
    fleet.worker("worker-1")
    go_on = fleet.folder / "go-on"
    run_id = fleet.start("work", until_file=str(go_on))
    held = fleet.running(run_id)["pid"]
    until(lambda: sentinels(fleet))
    os.kill(held, signal.SIGSTOP)
    try:
        until(lambda: is_stopped(held))
        fleet.worker("worker-2")
        fleet.running(run_id, attempt=2)
        go_on.touch()
        row = fleet.scene.completed(run_id)
    finally:
        os.kill(held, signal.SIGCONT)
    until(lambda: "late_result" in fleet.scene.kinds(run_id))
    assert fleet.scene.row(run_id) == row
    assert fleet.scene.kinds(run_id).count("late_result") == 1
    assert counter(fleet.scene, "late_results", "fleet.work") == 1


def grandchild(code: str) -> tuple[subprocess.Popen[str], int]:
    """A process whose parent is not this one, and that parent; so it is reaped elsewhere."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]])\n"
            "print(child.pid, flush=True)\n"
            "child.wait()\n",
            code,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.skipif(
    not KERNEL_TELLS,
    reason="the kernel tells the exit status of another's child from Linux 6.15 on",
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_the_signal_that_killed_anothers_child_is_known(number: signal.Signals) -> None:
    parent, pid = grandchild("import time; time.sleep(60)")
    handle = open_process(pid)
    os.kill(pid, number)
    with parent:
        parent.wait(10)
    told = cause_of_death(pid, handle, oom_kills_before=None)
    assert told["signal"] == number.name
    assert handle is not None
    os.close(handle)


def test_a_death_that_nobody_can_tell_of_is_said_to_be_unknown() -> None:
    parent, pid = grandchild("pass")
    with parent:
        parent.wait(10)
    assert cause_of_death(pid, None, oom_kills_before=None) == {
        "seen": "its process ended",
        "exit_status": "unknown to this system",
    }


def test_kills_for_memory_are_read_where_they_are_readable() -> None:
    counted = oom_kills()
    assert counted is None or counted >= 0
    readable = any(
        Path(root).exists() for root in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory")
    )
    assert readable or counted is None
