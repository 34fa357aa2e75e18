"""Jobs a second, tracked and durable, as a ratio to the same on bare Dramatiq in the same run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import redis
from dramatiq import Message

from benchmarks.stand import Stand, stand
from lastword.identity import RunId, new_run_id
from lastword.service import RunService
from lastword.service.requests import NewRun
from lastword_middleware.broker import redis_client

QUEUE = "default"

#: The prefetch of Dramatiq itself with 8 threads, and one that lets batches form.
PREFETCHES = (16, 256)

#: Runs accepted with one transaction while the queue is filled.
BATCH = 1000


def measure_throughput(databases: Sequence[str], *, jobs: int, rounds: int) -> list[dict[str, Any]]:
    """No-op jobs through one process of 8 threads, up to the last durable commit, A B A B."""
    rows = []
    for database in databases:
        with stand(database) as here:
            for prefetch in PREFETCHES:
                bare: list[float] = []
                tracked: list[float] = []
                for _ in range(rounds):
                    bare.append(_run(here, jobs, prefetch=16, tracked=False))
                    tracked.append(_run(here, jobs, prefetch=prefetch, tracked=True))
                rows.append(
                    {
                        "name": f"no-op jobs/s, tracked, {database}, prefetch {prefetch}",
                        "unit": "jobs/s",
                        "value": round(statistics.median(tracked)),
                        "baseline": round(statistics.median(bare)),
                        "ratio": round(statistics.median(tracked) / statistics.median(bare), 2),
                        "runs": rounds,
                    }
                )
    return rows


def _run(here: Stand, jobs: int, *, prefetch: int, tracked: bool) -> float:
    client = redis_client(here.config.broker_url)
    client.flushall()
    _fill(here, client, jobs, tracked=tracked)
    with _worker(here, prefetch=prefetch, tracked=tracked) as worker:
        # From the first message that leaves the queue: not the start of the interpreter.
        while client.llen(f"dramatiq:{QUEUE}") == jobs:
            _wait_beside(worker, 0.001)
        began = time.monotonic()
        while client.hlen(f"dramatiq:{QUEUE}.msgs"):
            _wait_beside(worker, 0.002)
        took = time.monotonic() - began
    client.close()
    if tracked:
        _require_all_succeeded(here, jobs)
    return jobs / took


def _wait_beside(worker: subprocess.Popen[bytes], seconds: float) -> None:
    time.sleep(seconds)
    if worker.poll() is not None:
        raise RuntimeError(f"the worker ended with {worker.returncode}: see its log")


def _fill(here: Stand, client: redis.Redis, jobs: int, *, tracked: bool) -> None:
    runs = RunService(here.ledger)
    policy = here.config.policy("bench.nothing")
    for start in range(0, jobs, BATCH):
        messages = [_message(number, tracked) for number in range(start, min(start + BATCH, jobs))]
        if tracked:
            runs.accept([_accepted(message, policy) for message in messages])
        pipeline = client.pipeline(transaction=False)
        for message in messages:
            ref = message.options["redis_message_id"]
            pipeline.hset(f"dramatiq:{QUEUE}.msgs", ref, message.encode())
            pipeline.rpush(f"dramatiq:{QUEUE}", ref)
        pipeline.execute()


def _message(number: int, tracked: bool) -> Message[Any]:
    options: dict[str, Any] = {"redis_message_id": str(uuid4())}
    if tracked:
        options["lastword_dispatch"] = 1
    return Message(QUEUE, "nothing", (number,), {}, options, message_id=new_run_id())


def _accepted(message: Message[Any], policy: Any) -> NewRun:
    return NewRun(
        run_id=RunId(message.message_id),
        policy=policy,
        actor_name="nothing",
        payload=message.encode().decode(),
        message_queue=QUEUE,
        message_ref=message.options["redis_message_id"],
    )


def _require_all_succeeded(here: Stand, jobs: int) -> None:
    with here.ledger.transaction():
        [facts] = here.ledger.execute(
            "SELECT COUNT(*) AS runs FROM lastword_run WHERE outcome = 'succeeded' AND attempt = 1"
        )
        assert facts["runs"] == jobs, f"{facts['runs']} of {jobs} runs succeeded at once"
        for table in ("event", "attempt", "run"):
            here.ledger.execute(f"DELETE FROM lastword_{table}")


@contextmanager
def _worker(here: Stand, *, prefetch: int, tracked: bool) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        **here.environment,
        "dramatiq_queue_prefetch": str(prefetch),
        "BENCH_BARE": "" if tracked else "yes",
        "LASTWORD_LOG_FORMAT": "json",
    }
    with (here.folder / "worker.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [
                *(sys.executable, "-m", "dramatiq", "benchmarks.application"),
                *("--processes", "1", "--threads", "8", "--queues", QUEUE),
                *("--worker-shutdown-timeout", "620000"),
            ],
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    print(json.dumps(measure_throughput(["sqlite", "postgresql"], jobs=5_000, rounds=1), indent=1))  # noqa: T201
