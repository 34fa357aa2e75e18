"""Our jobs a second beside each peer's, both with what became of every job recorded, A B A B.

Ours are timed as in `throughput`. A peer's are counted where it records their ends: from the first
look that finds any to the one that finds all. A peer that cannot be installed or does not work is
a row that says so.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import redis
from tests.rabbitmq import running_rabbitmq

from benchmarks.peers.catalog import PEERS, Peer, Places
from benchmarks.rows import Row, compared, row
from benchmarks.stand import Stand, stand
from benchmarks.working_off import Workers, work_off
from lastword.orphans import tied

APPLICATIONS = Path(__file__).parent / "applications"

#: A database of PostgreSQL that each run of a peer finds empty.
DATABASE = "bench_peer"

#: Seconds for an installation, for enqueuing all jobs, until the next job is done, for stopping.
INSTALL_WITHIN_S, FILL_WITHIN_S, IDLE_WITHIN_S, STOP_WITHIN_S = 300, 120, 30, 15


def picked(names: str | None) -> Sequence[Peer]:
    """The peers that `PEERS=name,name` asks for: all without it, none if it is empty."""
    if names is None:
        return PEERS
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return [peer for peer in PEERS if peer.name in wanted]


def measure_peers(peers: Sequence[Peer], *, jobs: int, rounds: int) -> Iterator[Row]:
    """No-op jobs, in one process with eight at a time or what comes nearest to that.

    Ours are in PostgreSQL, whatever the peer records in.

    Args:
        peers: beside which to measure.
        jobs: in the queue when a worker starts.
        rounds: pairs of our run and the peer's.
    """
    if not peers or not jobs:
        return
    with stand("postgresql") as here:
        for peer in peers:
            name = f"no-op jobs, 1x8, postgresql, beside {peer.label}"
            try:
                ours, theirs = _raced(here, peer, jobs, rounds)
            except Exception as error:  # noqa: BLE001 - a row says what happened
                why = f"{type(error).__name__}: {error}".splitlines()
                logging.getLogger(__name__).warning("%s: %s", peer.name, error)
                yield row(name, "jobs/s", "absent", runs=0, note=" ".join(why)[:300])
                continue
            yield {**compared(name, "jobs/s", ours, theirs), "note": peer.note}


def _raced(
    here: Stand, peer: Peer, jobs: int, rounds: int
) -> tuple[Sequence[float], Sequence[float]]:
    ours, theirs = [], []
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix=f"lw-bench-{peer.name}-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        _install(peer, folder)
        environment = _environment(here, peer)
        if peer.needs_rabbitmq:
            environment["BENCH_AMQP_URL"] = stack.enter_context(running_rabbitmq()).url
        for _ in range(rounds):
            ours.append(jobs / work_off(here, jobs, Workers(tracked=True)).seconds)
            with _places(here) as places:
                theirs.append(_jobs_a_second(peer, places, folder, environment, jobs))
    return ours, theirs


def _install(peer: Peer, folder: Path) -> None:
    source = APPLICATIONS / f"{peer.application or peer.name}.py"
    shutil.copy(source, folder / "application.py")
    _run([sys.executable, "-m", "venv", "venv"], folder, within_s=INSTALL_WITHIN_S)
    pip = ["venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *peer.requirements], folder, within_s=INSTALL_WITHIN_S)


def _environment(here: Stand, peer: Peer) -> dict[str, str]:
    own = {
        "BENCH_REDIS_URL": here.config.broker_url,
        "BENCH_DATABASE_URL": _database_url(here),
        "PGDSN": _database_url(here),
        "PYTHONPATH": ".",
    }
    ours = ("LASTWORD_", "BENCH_", "dramatiq_", "PG", "VIRTUAL_ENV", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, **own, **dict(peer.environment)}


def _database_url(here: Stand) -> str:
    return here.environment["LASTWORD_DATABASE_URL"].replace("/postgres?", f"/{DATABASE}?")


@contextmanager
def _places(here: Stand) -> Iterator[Places]:
    """An empty database and an empty Redis, to be counted in."""
    url = here.config.broker_url
    with ExitStack() as stack:
        own = psycopg.connect(here.environment["LASTWORD_DATABASE_URL"], autocommit=True)
        stack.enter_context(own)
        own.execute(f"CREATE DATABASE {DATABASE}".encode())
        stack.callback(own.execute, f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())
        database = stack.enter_context(psycopg.connect(_database_url(here), autocommit=True))
        clients = [redis.Redis.from_url(url, db=number) for number in range(2)]
        for client in clients:
            stack.enter_context(client)
        clients[0].flushall()
        yield Places(database, clients)
        clients[0].flushall()


def _jobs_a_second(
    peer: Peer, places: Places, folder: Path, environment: Mapping[str, str], jobs: int
) -> float:
    enqueue = ["venv/bin/python", "-c", f"import application; application.fill({jobs})"]
    _run(enqueue, folder, within_s=FILL_WITHIN_S, environment=environment)
    with _working(peer, folder, environment) as process:
        first, began = 0, 0.0
        seen, seen_at = 0, time.monotonic()
        while True:
            finished, now = peer.finished.count(places), time.monotonic()
            if finished and not first:
                first, began = finished, now
            if finished >= jobs:
                # So quick that there was nothing between: no speed, and no way to say one.
                assert finished > first, f"all {jobs} jobs were done at the first look"
                return (finished - first) / (now - began)
            if finished > seen:
                seen, seen_at = finished, now
            if now > seen_at + IDLE_WITHIN_S or process.poll() is not None:
                raise RuntimeError(f"{finished} of {jobs} jobs done: {_last_words(folder)}")
            time.sleep(peer.look_every_s)


@contextmanager
def _working(
    peer: Peer, folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    program, *arguments = peer.worker
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - what the catalogue says
            tied([str(folder / "venv" / "bin" / program), *arguments]),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_WITHIN_S)
        # Whatever it has left, or would not end: it is all in this group.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run(
    command: Sequence[str],
    folder: Path,
    *,
    within_s: float,
    environment: Mapping[str, str] | None = None,
) -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=within_s
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"{' '.join(command[:4])} ...: {''.join(last)}")


def _last_words(folder: Path) -> str:
    lines = (folder / "worker.log").read_text(errors="replace").splitlines()
    return lines[-1] if lines else "its worker said nothing"
