"""Where a message is: asked of a real Redis, in the layout that Dramatiq writes."""

from __future__ import annotations

import pytest
import redis

from lastword.identity import RunId
from lastword_scheduler.probe import (
    AT_ONCE,
    MessageEvidence,
    MessageState,
    RedisProbe,
    Whereabouts,
)


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def seen(client: redis.Redis, queue: str, *refs: str) -> list[MessageEvidence]:
    """What is seen of messages that are asked for together, in their order."""
    asked = [Whereabouts(RunId(f"run of {ref}"), queue, ref) for ref in refs]
    found = RedisProbe(client, namespace="dramatiq").look(asked)
    return [found[RunId(f"run of {ref}")] for ref in refs]


def put(client: redis.Redis, queue: str, *refs: str, holder: str | None = None) -> None:
    for ref in refs:
        client.hset(f"dramatiq:{queue}.msgs", ref, "{}")
        if holder is not None:
            client.sadd(f"dramatiq:__acks__.{holder}.{queue}", ref)
    if holder is not None:
        client.zadd("dramatiq:__heartbeats__", {holder: 1})


def test_each_of_the_places_is_told_apart(client: redis.Redis) -> None:
    put(client, "q", "waits")
    put(client, "q", "taken", holder="w")
    client.zadd("dramatiq:q.XQ", {"dead": 1})
    assert seen(client, "q", "waits", "taken", "dead", "nowhere") == [
        MessageEvidence(MessageState.READY),
        MessageEvidence(MessageState.HELD, "w"),
        MessageEvidence(MessageState.DEAD_LETTERED),
        MessageEvidence(MessageState.GONE),
    ]


def test_a_delayed_message_is_looked_for_among_the_dead_letters_of_its_queue(
    client: redis.Redis,
) -> None:
    client.zadd("dramatiq:q.XQ", {"dead": 1})
    assert seen(client, "q.DQ", "dead") == [MessageEvidence(MessageState.DEAD_LETTERED)]


@pytest.mark.parametrize("others", [0, 1000])
def test_a_holder_is_named_however_much_it_holds(client: redis.Redis, others: int) -> None:
    put(client, "q", "first", "second", holder="idle")
    put(client, "q", "third", *(f"other {number}" for number in range(others)), holder="busy")
    states = seen(client, "q", "third", "first", "missing", "second")
    assert [evidence.holder for evidence in states] == ["busy", "idle", None, "idle"]


def test_a_hold_without_a_message_holds_nothing(client: redis.Redis) -> None:
    put(client, "q", "acknowledged", holder="w")
    client.hdel("dramatiq:q.msgs", "acknowledged")
    assert seen(client, "q", "acknowledged") == [MessageEvidence(MessageState.GONE)]


def test_more_messages_than_one_script_looks_for(client: redis.Redis) -> None:
    refs = [f"{number}" for number in range(AT_ONCE + 1)]
    put(client, "q", *refs)
    assert {evidence.state for evidence in seen(client, "q", *refs)} == {MessageState.READY}


def test_a_server_that_has_forgotten_the_script_is_given_it_again(client: redis.Redis) -> None:
    put(client, "q", "waits")
    asking = RedisProbe(client, namespace="dramatiq")
    for _ in range(2):
        client.script_flush()
        [evidence] = asking.look([Whereabouts(RunId("run"), "q", "waits")]).values()
        assert evidence.state is MessageState.READY
