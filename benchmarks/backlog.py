"""A ledger and a Redis as a busy system has them: many completed runs, some active, live workers.

Written in bulk; only what was accepted and claimed through the service is active.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import redis
from dramatiq import Message

from benchmarks.stand import Stand
from lastword.identity import RunId, WorkerId, new_run_id, new_worker_id
from lastword.policy import Policy
from lastword.service import RunService, WorkerService
from lastword.service.requests import NewRun
from lastword.service.values import Delivery
from lastword.service.workers import NewWorker
from lastword_middleware.broker import redis_client

QUEUE = "default"
OPERATION = "bench.bystander"

#: The completed and the active runs are written in turns, so that neither the ids nor the pages of
#: the table keep the active ones together.
TURNS = 100

#: Rows that one statement writes at most: it is not to take as long as a statement may.
ROWS_AT_ONCE = 20_000

#: Runs that one live worker works on; it holds as many delayed messages.
THREADS = 8

#: Of this many active runs one is running, and one is delayed in the hold of a worker.
EVERY = 10

#: Completed runs for each worker that has ended since.
RUNS_OF_A_LIFE = 100

#: Seconds; longer than everything that is measured.
LEASE_S = 86_400.0


@dataclass
class Backlog:
    """What is in the stand.

    Attributes:
        ready: messages in the queue.
        delayed: those that a worker holds until their time has come.
        running: those that a worker works on.
    """

    here: Stand
    client: redis.Redis
    ready: list[Message[Any]] = field(default_factory=list)
    delayed: list[Message[Any]] = field(default_factory=list)
    running: list[Message[Any]] = field(default_factory=list)

    def keep_first(self, active: int) -> None:
        """Leave only the oldest active runs; the workers, and what they hold, stay."""
        param = self.here.ledger.dialect.param
        with self.here.ledger.transaction():
            self.here.ledger.execute(
                "DELETE FROM lastword_run WHERE completed_at IS NULL AND id NOT IN (SELECT id FROM "
                f"lastword_run WHERE completed_at IS NULL ORDER BY id LIMIT {param})",
                active,
            )


def fill(here: Stand, *, history: int, active: int) -> Backlog:
    """Completed runs, and active ones: a tenth running, a tenth delayed, the others ready."""
    backlog = Backlog(here, redis_client(here.config.broker_url))
    RunService(here.ledger).keep_policies([here.config.policy(OPERATION)])
    done = 0
    for turn in range(TURNS):
        for runs in _portions(history // TURNS):
            _complete(here, runs, before=done, age_ms=(TURNS - turn) * 60_000)
            done += runs
        _accept(backlog, active // TURNS)
    for workers in _portions(history // RUNS_OF_A_LIFE):
        _end_workers(here, workers)
    _work(backlog)
    _wait(backlog.client, backlog.ready)
    with here.ledger.transaction():
        # Long enough ago for a sweep to look for the messages.
        here.ledger.execute(
            "UPDATE lastword_run SET sent_at = sent_at - 60000 WHERE completed_at IS NULL"
        )
    with here.ledger.session():
        if here.database == "postgresql":
            # Of ten million rows it may take longer than a statement of ours may.
            here.ledger.execute("SET statement_timeout = 0")
        here.ledger.execute("ANALYZE")
        if here.database == "postgresql":
            here.ledger.execute("RESET statement_timeout")
    return backlog


def _portions(rows: int) -> list[int]:
    return [min(ROWS_AT_ONCE, rows - start) for start in range(0, rows, ROWS_AT_ONCE)]


def _complete(here: Stand, runs: int, *, before: int, age_ms: int) -> None:
    policy = here.config.policy(OPERATION)
    message = _message(QUEUE)
    # Ids as they are made in this moment: they sort between the active ones. Two moments may be
    # the same, so those that were made before count.
    prefix = message.message_id[:18] + "-8000-00"
    done = f"{here.ledger.dialect.now_ms} - {age_ms} + number"
    values = {
        "id": f"'{prefix}' || CAST({1_000_000_000 + before} + number AS VARCHAR(10))",
        "operation": f"'{policy.operation}'",
        "workspace_id": "'workspace'",
        "tenant_id": "'tenant-' || CAST(number % 50 AS VARCHAR(10))",
        "initiator_name": "'Somebody'",
        "status": "'completed'",
        "outcome": "CASE WHEN number % 20 = 0 THEN 'failed' ELSE 'succeeded' END",
        "reason": "CASE WHEN number % 20 = 0 THEN 'retries_exhausted' END",
        "closed_by": "'worker'",
        "identity_hash": f"'{uuid4().hex}' || CAST(1000000000 + number AS VARCHAR(10))",
        "policy_version": f"'{policy.version}'",
        **dict.fromkeys(("queued_stale_ms", "running_stale_ms", "max_queue_wait_ms"), "2400000"),
        **dict.fromkeys(("dispatch", "attempt"), "1"),
        **dict.fromkeys(("lost_deliveries", "retries", "probation"), "0"),
        **dict.fromkeys(("children", "children_open", "children_succeeded"), "0"),
        "worker_id": f"'{new_worker_id()}'",
        "actor_name": "'bystander'",
        "payload": f"'{message.encode().decode()}'",
        "message_queue": f"'{QUEUE}'",
        "message_ref": f"'{uuid4()}'",
        "summary_counts": '\'{"processed": 120, "total": 120}\'',
        "failures": "'[]'",
        "context": "'{}'",
        **dict.fromkeys(("sent_at", "created_at", "available_at"), f"{done} - 5000"),
        **dict.fromkeys(("started_at", "claimed_at"), f"{done} - 4000"),
        **dict.fromkeys(("changed_at", "completed_at"), done),
    }
    _insert(here, "lastword_run", values, runs)


def _end_workers(here: Stand, workers: int) -> None:
    name = f"'{uuid4().hex}' || CAST(number AS VARCHAR(10))"
    moments = ("started_at", "heartbeat_at", "lease_until", "ticked_at", "listed_at", "ended_at")
    values = {
        "id": name,
        "host": "'worker-host'",
        "pid": "number",
        "version": "'1'",
        "broker_id": name,
        "threads": f"{THREADS}",
        **dict.fromkeys(moments, f"{here.ledger.dialect.now_ms} - 60000"),
        "working": "'[]'",
        "ending": "'stopped'",
    }
    _insert(here, "lastword_worker", values, workers)


def _insert(here: Stand, table: str, values: dict[str, str], rows: int) -> None:
    with here.ledger.transaction():
        here.ledger.execute(
            "WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers "
            f"WHERE number < {rows}) INSERT INTO {table} ({', '.join(values)}) "
            f"SELECT {', '.join(values.values()).replace('%', _percent(here))} FROM numbers"
        )


def _percent(here: Stand) -> str:
    # Where a placeholder is a per cent sign, one that is meant has to be doubled.
    return "%%" if here.ledger.dialect.param == "%s" else "%"


def _accept(backlog: Backlog, active: int) -> None:
    share = active // EVERY
    running = [_message(QUEUE) for _ in range(share)]
    delayed = [_message(f"{QUEUE}.DQ") for _ in range(share)]
    ready = [_message(QUEUE) for _ in range(active - 2 * share)]
    policy = backlog.here.config.policy(OPERATION)
    RunService(backlog.here.ledger).accept(
        [_accepted(message, policy) for message in (*running, *delayed, *ready)]
    )
    backlog.running += running
    backlog.delayed += delayed
    backlog.ready += ready


def _message(queue: str) -> Message[Any]:
    options = {"redis_message_id": str(uuid4()), "lastword_dispatch": 1}
    inputs = {"until_file": "/srv/shared/reports/until", "note": "as long as inputs are " * 4}
    return Message(queue, "bystander", (), inputs, options, message_id=new_run_id())


def _accepted(message: Message[Any], policy: Policy) -> NewRun:
    return NewRun(
        run_id=RunId(message.message_id),
        policy=policy,
        actor_name=message.actor_name,
        payload=message.encode().decode(),
        message_queue=message.queue_name,
        message_ref=message.options["redis_message_id"],
        delay_s=600.0 if message.queue_name.endswith(".DQ") else 0.0,
    )


def _work(backlog: Backlog) -> None:
    delayed = batched(backlog.delayed)
    for number, running in enumerate(batched(backlog.running)):
        broker_id = str(uuid4())
        worker_id = _boot(backlog.here, number, broker_id)
        _claim(backlog.here, worker_id, running)
        backlog.client.zadd("dramatiq:__heartbeats__", {broker_id: time.time() * 1000})
        for messages in (running, delayed[number]):
            _hold(backlog.client, broker_id, messages)


def _boot(here: Stand, number: int, broker_id: str) -> WorkerId:
    worker = NewWorker(
        worker_id=new_worker_id(),
        host="worker-host",
        pid=number,
        version="1",
        threads=THREADS,
        broker_id=broker_id,
    )
    WorkerService(here.ledger).boot(worker, lease_ttl_s=LEASE_S)
    return worker.worker_id


def _claim(here: Stand, worker_id: WorkerId, messages: Sequence[Message[Any]]) -> None:
    run_ids = [RunId(message.message_id) for message in messages]
    deliveries = [Delivery(run_id, 1) for run_id in run_ids]
    claims = RunService(here.ledger).claim(deliveries, worker_id=worker_id)
    assert all(claim.refusal is None for claim in claims)
    WorkerService(here.ledger).heartbeat(worker_id, lease_ttl_s=LEASE_S, working=run_ids)


def _hold(client: redis.Redis, broker_id: str, messages: Sequence[Message[Any]]) -> None:
    pipeline = client.pipeline(transaction=False)
    for message in messages:
        queue, ref = message.queue_name, message.options["redis_message_id"]
        pipeline.hset(f"dramatiq:{queue}.msgs", ref, message.encode())
        pipeline.sadd(f"dramatiq:__acks__.{broker_id}.{queue}", ref)
    pipeline.execute()


def _wait(client: redis.Redis, messages: Sequence[Message[Any]]) -> None:
    pipeline = client.pipeline(transaction=False)
    for message in messages:
        queue, ref = message.queue_name, message.options["redis_message_id"]
        pipeline.hset(f"dramatiq:{queue}.msgs", ref, message.encode())
        pipeline.rpush(f"dramatiq:{queue}", ref)
    pipeline.execute()


def batched(messages: Sequence[Message[Any]]) -> list[Sequence[Message[Any]]]:
    """As many at a time as one worker has threads."""
    return [messages[start : start + THREADS] for start in range(0, len(messages), THREADS)]
