"""What is done to a system, one function for each fault; each leaves it healed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import redis

from tests.faults.campaign.plan import Episode
from tests.faults.campaign.records import read_journal
from tests.faults.campaign.servers import kill
from tests.faults.campaign.system import STOP_WAIT_S, System
from tests.processes import alive
from tests.support import until

#: Bytes of memory beyond which a worker is killed, as the kernel does in a container.
MEMORY_LIMIT = 400 * 2**20

#: Seconds between two strikes of a fault that strikes again and again.
STRIKE_EVERY_S = 1.0


def do_harm(system: System, episode: Episode) -> None:
    """Do what an episode says, for as long as it says, and make it good again."""
    HARMS[episode.fault.name](system, episode)


def _nothing(system: System, episode: Episode) -> None:
    del system, episode


def _strike(lasts_s: float, strike: Callable[[], None]) -> None:
    deadline = time.monotonic() + lasts_s
    while True:
        strike()
        if time.monotonic() + STRIKE_EVERY_S > deadline:
            return
        time.sleep(STRIKE_EVERY_S)


def _harm(system: System, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    system.harmed.add(pid)
    kill(pid, number)


def _sigkill(system: System, episode: Episode) -> None:
    def strike() -> None:
        for pid in system.workers()[:1]:
            _harm(system, pid)

    _strike(episode.lasts_s, strike)


def _sigstop(system: System, episode: Episode) -> None:
    [pid, *_] = system.workers()
    _harm(system, pid, signal.SIGSTOP)
    time.sleep(episode.lasts_s)
    kill(pid, signal.SIGCONT)


def _sigterm(system: System, episode: Episode) -> None:
    pid = _pid_of(system, system.start("stubborn", seconds=8.0))
    system.harmed.add(pid)
    kill(pid, signal.SIGTERM)
    time.sleep(STOP_WAIT_S)
    kill(pid)


def _memory(system: System, episode: Episode) -> None:
    run_id = system.start("hungry")
    while system.open_runs() and _is_open(system, run_id):
        for pid in system.workers():
            if _resident(pid) > MEMORY_LIMIT:
                _harm(system, pid)
        time.sleep(0.02)


def _scheduler(system: System, episode: Episode) -> None:
    def strike() -> None:
        for name, pid in system.supervisors[1].pids().items():
            if name in ("first", "second"):
                kill(pid)

    _strike(episode.lasts_s, strike)


def _flushall(system: System, episode: Episode) -> None:
    with system.redis.client() as client:
        _strike(episode.lasts_s, client.flushall)


def _redis_restart(system: System, episode: Episode) -> None:
    system.redis.kill()
    time.sleep(episode.lasts_s / 2)
    system.redis.start()


def _redis_read_only(system: System, episode: Episode) -> None:
    with system.redis.client() as client:
        # What a primary is after a failover. Nothing listens there, so it keeps what it has.
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        time.sleep(episode.lasts_s)
        client.execute_command("REPLICAOF", "NO", "ONE")


def _redis_slow(system: System, episode: Episode) -> None:
    kill(system.redis.pid, signal.SIGSTOP)
    time.sleep(episode.lasts_s)
    kill(system.redis.pid, signal.SIGCONT)


def _network(system: System, episode: Episode) -> None:
    if episode.fault.name != "network-delay":
        system.harmed |= set(system.worker_apart())
    for network in system.networks:
        if episode.fault.name == "network-cut":
            network.cut()
        elif episode.fault.name == "network-held":
            network.hold()
        else:
            network.delay(0.05)
    time.sleep(episode.lasts_s)
    for network in system.networks:
        network.heal()


def _postgres_restart(system: System, episode: Episode) -> None:
    # Not the polite way, which waits for every client.
    system.postgres.stop()
    time.sleep(episode.lasts_s / 2)
    system.postgres.start()


def _postgres_cut(system: System, episode: Episode) -> None:
    database = system.database_url.partition("?")[0].rpartition("/")[2]
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    )
    _strike(episode.lasts_s, lambda: _ignored(system.rows(statement)))


def _disk_full(system: System, episode: Episode) -> None:
    ballast = Path(system.database_url.removeprefix("sqlite:///")).with_name("ballast")
    deadline = time.monotonic() + episode.lasts_s
    with ballast.open("wb", buffering=0) as file:
        # Again and again, for the database gives room back.
        while time.monotonic() < deadline:
            with suppress(OSError):
                while file.write(bytes(4096)) == 4096:
                    pass
            time.sleep(0.01)
    ballast.unlink()


def _clock(system: System, episode: Episode) -> None:
    system.clock_file.write_text(f"{300 * episode.sign:+d}s\n")
    time.sleep(episode.lasts_s)
    system.clock_file.write_text("+0s\n")


def _poison(system: System, episode: Episode) -> None:
    rows = system.rows("SELECT payload FROM lastword_run WHERE actor_name = 'steps' LIMIT 1")
    with system.redis.client() as client:
        _push(client, b"\x80garbage")
        _push(client, b"{}")
        nobody = {"queue_name": "default", "args": [], "kwargs": {}, "options": {}}
        stamp = {"message_id": str(uuid4()), "message_timestamp": 0}
        _push(client, json.dumps({**nobody, **stamp, "actor_name": "nobody"}).encode())
        # Of a run that is in the ledger, asking for more than was accepted.
        for (payload,) in rows:
            changed = json.loads(payload)
            changed["kwargs"] = {"count": 500, "pause": 0.0}
            _push(client, json.dumps(changed).encode())


def _push(client: redis.Redis, payload: bytes) -> None:
    ref = str(uuid4())
    client.hset("dramatiq:default.msgs", ref, payload)
    client.rpush("dramatiq:default", ref)


def _gil(system: System, episode: Episode) -> None:
    _pid_of(system, system.start("hog", seconds=20.0))


def _kill_worker(system: System, episode: Episode) -> None:
    run_id = system.start("kill_worker")
    while _is_open(system, run_id):
        system.harmed |= set(_pids_that_began(system, run_id))
        time.sleep(0.05)
    system.harmed |= set(_pids_that_began(system, run_id))


def _pid_of(system: System, run_id: str | None) -> int:
    return until(lambda: _pids_that_began(system, run_id), within_s=30, what="a begin")[0]


def _pids_that_began(system: System, run_id: str | None) -> list[int]:
    lines = read_journal(system.journal)
    return [int(line[3]) for line in lines if line[:2] == ["begin", str(run_id)]]


def _is_open(system: System, run_id: str | None) -> bool:
    return bool(
        system.rows(f"SELECT 1 FROM lastword_run WHERE id = '{run_id}' AND status <> 'completed'")
    )


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError):
        if alive(pid):
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    return 0


def _ignored(value: object) -> None:
    del value


HARMS: dict[str, Callable[[System, Episode], None]] = {
    "none": _nothing,
    "sigkill": _sigkill,
    "sigstop": _sigstop,
    "sigterm": _sigterm,
    "memory": _memory,
    "scheduler": _scheduler,
    "flushall": _flushall,
    "redis-restart": _redis_restart,
    "redis-restart-aof": _redis_restart,
    "redis-read-only": _redis_read_only,
    "redis-slow": _redis_slow,
    "network-cut": _network,
    "network-held": _network,
    "network-delay": _network,
    "postgres-restart": _postgres_restart,
    "postgres-cut": _postgres_cut,
    "disk-full": _disk_full,
    "clock": _clock,
    "poison": _poison,
    "gil": _gil,
    "kill-worker": _kill_worker,
}
