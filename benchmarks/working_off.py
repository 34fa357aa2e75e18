"""A full queue, and a worker of its own process that works it off: tracked, or bare Dramatiq.

Timed from the first message that leaves the queue, so that the start of the interpreter is not in
it, to the last one that is acknowledged. A tracked worker acknowledges what it has committed: that
moment is the one of the last durable commit.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis
from dramatiq import Message

from benchmarks.stand import Stand
from lastword.identity import RunId, new_run_id
from lastword.policy import Policy
from lastword.service import RunService
from lastword.service.requests import NewRun
from lastword_middleware.broker import redis_client

QUEUE = "default"

#: Runs accepted with one transaction while the queue is filled.
BATCH = 1000

#: Seconds a worker gets to stop.
STOP_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Workers:
    """How the jobs are worked off.

    Attributes:
        tracked: by Lastword; else by Dramatiq with its defaults.
        prefetch: messages that a process takes at once; None if nobody says how many.
        one_cpu: whether each process keeps to one CPU.
    """

    tracked: bool
    processes: int = 1
    threads: int = 8
    prefetch: int | None = None
    one_cpu: bool = False


@dataclass(slots=True)
class Life:
    """A worker while it lives, and what it has used once it has ended.

    Attributes:
        cpu_s: seconds of processor time, of its processes and of what they have waited for.
    """

    process: subprocess.Popen[bytes]
    cpu_s: float = 0.0

    def wait_beside(self, seconds: float) -> None:
        """Pause while it works.

        Raises:
            RuntimeError: it has ended.
        """
        time.sleep(seconds)
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker ended with {self.process.returncode}: see its log")


@dataclass(frozen=True, slots=True)
class WorkedOff:
    """What it took: seconds by the clock, and seconds of processor time with the start."""

    seconds: float
    cpu_s: float


def work_off(here: Stand, jobs: int, workers: Workers, *, actor: str = "nothing") -> WorkedOff:
    """Fill the queue, let it be worked off, require that all of it succeeded, and forget it."""
    with redis_client(here.config.broker_url) as client:
        client.flushall()
        fill(here, client, jobs, tracked=workers.tracked, actor=actor)
        with working(here, workers) as life:
            while client.llen(f"dramatiq:{QUEUE}") == jobs:
                life.wait_beside(0.001)
            began = time.monotonic()
            wait_until_empty(client, life)
            took = time.monotonic() - began
    if workers.tracked:
        require_succeeded(here, jobs)
        forget_runs(here)
    return WorkedOff(took, life.cpu_s)


def wait_until_empty(client: redis.Redis, life: Life, *, look_every_s: float = 0.005) -> None:
    """Wait for the last acknowledgement."""
    while client.hlen(f"dramatiq:{QUEUE}.msgs"):
        life.wait_beside(look_every_s)


def fill(here: Stand, client: redis.Redis, jobs: int, *, tracked: bool, actor: str) -> None:
    """Put `jobs` messages into the queue, their runs accepted before if they are tracked."""
    policy = here.config.policy(f"bench.{actor}")
    for start in range(0, jobs, BATCH):
        numbers = range(start, min(start + BATCH, jobs))
        messages = [_message(actor, number, tracked) for number in numbers]
        if tracked:
            RunService(here.ledger).accept([_accepted(message, policy) for message in messages])
        pipeline = client.pipeline(transaction=False)
        for message in messages:
            ref = message.options["redis_message_id"]
            pipeline.hset(f"dramatiq:{QUEUE}.msgs", ref, message.encode())
            pipeline.rpush(f"dramatiq:{QUEUE}", ref)
        pipeline.execute()


def _message(actor: str, number: int, tracked: bool) -> Message[Any]:
    options: dict[str, Any] = {"redis_message_id": str(uuid4())}
    if tracked:
        options["lastword_dispatch"] = 1
    return Message(QUEUE, actor, (number,), {}, options, message_id=new_run_id())


def _accepted(message: Message[Any], policy: Policy) -> NewRun:
    return NewRun(
        run_id=RunId(message.message_id),
        policy=policy,
        actor_name=message.actor_name,
        payload=message.encode().decode(),
        message_queue=QUEUE,
        message_ref=message.options["redis_message_id"],
    )


def require_succeeded(here: Stand, jobs: int) -> None:
    """Speed is worth nothing if the ledger does not hold every success."""
    with here.ledger.session():
        [facts] = here.ledger.execute(
            "SELECT COUNT(*) AS runs FROM lastword_run WHERE outcome = 'succeeded' AND attempt = 1"
        )
    assert facts["runs"] == jobs, f"{facts['runs']} of {jobs} runs succeeded at once"


def forget_runs(here: Stand) -> None:
    """Empty the ledger of runs, so that each round finds it as the first one did."""
    tables = [f"lastword_{name}" for name in ("event", "attempt", "run")]
    with here.ledger.transaction():
        if here.database == "postgresql":
            here.ledger.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
            return
        for table in tables:
            here.ledger.execute(f"DELETE FROM {table}")


@contextmanager
def working(here: Stand, workers: Workers) -> Iterator[Life]:
    """A worker that lives as long as this is entered."""
    with (here.folder / "worker.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            _command(workers), env=_environment(here, workers), stdout=log, stderr=log
        )
        life = Life(process)
        try:
            yield life
        finally:
            _end(life)


def _command(workers: Workers) -> list[str]:
    return [
        *(sys.executable, "-m", "dramatiq", "benchmarks.application"),
        *("--processes", str(workers.processes), "--threads", str(workers.threads)),
        *("--queues", QUEUE),
        # The rule of the timing chain: longer than the time limit of what it runs.
        *("--worker-shutdown-timeout", "620000"),
    ]


def _environment(here: Stand, workers: Workers) -> dict[str, str]:
    environment = {
        **os.environ,
        **here.environment,
        "BENCH_BARE": "" if workers.tracked else "yes",
        "LASTWORD_LOG_FORMAT": "json",
        "LASTWORD_ONE_CPU": "true" if workers.one_cpu else "false",
    }
    environment.pop("dramatiq_queue_prefetch", None)
    if workers.prefetch is not None:
        environment["dramatiq_queue_prefetch"] = str(workers.prefetch)
    return environment


def _end(life: Life) -> None:
    if life.process.poll() is not None:
        return
    life.process.terminate()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        life.process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        life.process.send_signal(signal.SIGKILL)
        life.process.wait()
        raise
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    life.cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
