"""What Redis holds for workers that are gone is given back at the next sweep, by evidence."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis

from lastword.config import Config
from lastword.identity import WorkerId, new_worker_id
from lastword.service.workers import NewWorker
from lastword.storage.clock import now_ms
from lastword.storage.ledger import Ledger
from lastword_scheduler.contact import Contact
from lastword_scheduler.rescue import BrokerRescue
from tests.integration.test_cli import value
from tests.processes import environment
from tests.support import Scene


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


@pytest.fixture
def rescue(ledger: Ledger, client: redis.Redis) -> BrokerRescue:
    return BrokerRescue(
        ledger,
        client,
        "dramatiq",
        silent_after_ms=60_000,
        dead_letter_ttl_ms=1000,
        contact=Contact(lease_ttl_s=0.0),
    )


def worker_of(scene: Scene, broker_id: str, *, lease_ttl_s: float = 60.0) -> WorkerId:
    worker_id = new_worker_id()
    scene.workers.boot(
        NewWorker(worker_id, "host", 1, "1", 8, broker_id, queues=("default", "default.DQ")),
        lease_ttl_s=lease_ttl_s,
    )
    return worker_id


def hold(client: redis.Redis, broker_id: str, queue: str, *refs: str) -> None:
    """As Dramatiq's fetch leaves it."""
    for ref in refs:
        client.hset(f"dramatiq:{queue}.msgs", ref, "{}")
    client.sadd(f"dramatiq:__acks__.{broker_id}.{queue}", *refs)
    client.zadd("dramatiq:__heartbeats__", {broker_id: time.time() * 1000})


def waiting(client: redis.Redis, queue: str) -> list[str]:
    refs: Any = client.lrange(f"dramatiq:{queue}", 0, -1)
    return sorted(ref.decode() for ref in refs)


def test_a_dead_workers_messages_are_back_in_every_queue_and_a_live_ones_stay(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    dead, _ = worker_of(scene, "dead"), worker_of(scene, "alive")
    hold(client, "dead", "default", "a", "b")
    hold(client, "dead", "default.DQ", "c")
    hold(client, "alive", "default", "d")
    assert not rescue.sweep().acted
    scene.workers.lose(dead, cause={"signal": "SIGKILL"})
    assert rescue.sweep().acted == {"given_back": 3}
    assert (waiting(client, "default"), waiting(client, "default.DQ")) == (["a", "b"], ["c"])
    assert client.zrange("dramatiq:__heartbeats__", 0, -1) == [b"alive"]
    assert client.smembers("dramatiq:__acks__.alive.default") == {b"d"}
    assert not rescue.sweep().acted


def test_more_than_one_call_moves_is_given_back_each_once(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    refs = [f"ref-{number:05}" for number in range(2500)]
    hold(client, "dead", "default", *refs)
    scene.workers.lose(worker_of(scene, "dead"), cause={})
    assert rescue.sweep().acted == {"given_back": 2500}
    assert waiting(client, "default") == refs


def test_what_was_acknowledged_meanwhile_is_not_given_back(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    hold(client, "dead", "default", "a", "b")
    client.hdel("dramatiq:default.msgs", "a")
    scene.workers.lose(worker_of(scene, "dead"), cause={})
    assert rescue.sweep().acted == {"given_back": 1}
    assert waiting(client, "default") == ["b"]


def test_a_worker_that_was_given_up_and_goes_on_under_another_id_keeps_what_it_has(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    hold(client, "same-process", "default", "a")
    scene.workers.lose(worker_of(scene, "same-process"), cause={"seen": "its lease ran out"})
    reborn = worker_of(scene, "same-process")
    assert not rescue.sweep().acted
    scene.workers.end(reborn)
    assert rescue.sweep().acted == {"given_back": 1}


def test_an_expired_lease_ends_a_worker_only_if_the_ledger_took_writes_all_the_time(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    hold(client, "silent", "default", "a")
    worker_of(scene, "silent", lease_ttl_s=0.0)
    rescue.contact = Contact(lease_ttl_s=9.0)
    assert not rescue.sweep().acted
    for ago_ms in (9_000, 6_000, 3_000, 0):
        rescue.contact.wrote(now_ms(scene.ledger) - ago_ms)
    report = rescue.sweep()
    assert (report.lost_workers, report.acted) == (1, {"given_back": 1})


def test_a_process_without_lastword_is_judged_by_its_silence(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    worker_of(scene, "ours")
    hold(client, "stranger", "default", "a")
    assert not rescue.sweep().acted
    client.zadd("dramatiq:__heartbeats__", {"stranger": time.time() * 1000 - 61_000})
    assert rescue.sweep().acted == {"given_back": 1}


def test_a_worker_of_ours_is_judged_by_its_lease_and_not_by_its_silence_to_redis(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    worker_of(scene, "ours")
    hold(client, "ours", "default", "a")
    client.zadd("dramatiq:__heartbeats__", {"ours": 1.0})
    assert not rescue.sweep().acted
    assert waiting(client, "default") == []


def test_processes_that_are_long_gone_and_hold_nothing_are_forgotten(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    hold(client, "holds-something", "a.queue.nobody.told.of", "a")
    hours = {"holds-something": 25, "producer": 25, "young": 23}
    for name, age in hours.items():
        client.zadd("dramatiq:__heartbeats__", {name: time.time() * 1000 - age * 3_600_000})
    assert rescue.forget().acted == {"forgotten": 1}
    assert client.zrange("dramatiq:__heartbeats__", 0, -1) == [b"holds-something", b"young"]


def test_nothing_here_lists_every_key_of_redis_at_once(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    scene.workers.lose(worker_of(scene, "dead"), cause={})
    hold(client, "dead", "default", "a")
    client.config_resetstat()
    rescue.sweep()
    rescue.forget()
    used = client.info("commandstats")
    assert "cmdstat_zrem" in used
    assert "cmdstat_keys" not in used


def test_old_dead_letters_go_but_not_while_a_run_waits_for_one(
    rescue: BrokerRescue, scene: Scene, client: redis.Redis
) -> None:
    worker_of(scene, "ours")
    scene.accept(message_queue="default", message_ref="waited-for")
    long_ago = time.time() * 1000 - 5000
    client.zadd("dramatiq:default.XQ", {"waited-for": long_ago, "old": long_ago})
    client.zadd("dramatiq:default.XQ", {"young": time.time() * 1000})
    for ref in ("waited-for", "old", "young"):
        client.hset("dramatiq:default.XQ.msgs", ref, "{}")
    assert rescue.sweep().acted == {"expired": 1}
    assert client.zrange("dramatiq:default.XQ", 0, -1) == [b"waited-for", b"young"]
    assert client.hkeys("dramatiq:default.XQ.msgs") == [b"waited-for", b"young"]


def test_the_command_lists_dead_letters_with_the_truth_of_their_runs(
    scene: Scene, client: redis.Redis, database_url: str, redis_url: str, config: Config
) -> None:
    worker_of(scene, "ours")
    run_id = scene.accept()
    scene.runs.cancel([run_id], by="ada")
    message = {
        "queue_name": "default",
        "actor_name": "build",
        "args": [],
        "kwargs": {},
        "options": {},
        "message_id": run_id,
        "message_timestamp": 0,
    }
    client.zadd("dramatiq:default.XQ", {"ref-1": 1000, "ref-2": 2000})
    client.hset("dramatiq:default.XQ.msgs", "ref-1", json.dumps(message))
    client.hset("dramatiq:default.XQ.msgs", "ref-2", "rubbish")
    rows = value("dead-letters", env=environment(database_url=database_url, broker_url=redis_url))
    assert [(row["ref"], row["run"], row["outcome"]) for row in rows] == [
        ("ref-2", None, None),
        ("ref-1", run_id, "cancelled"),
    ]
