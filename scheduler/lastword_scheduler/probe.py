"""Broker evidence: where a message is, asked of Redis without disturbing it.

Key layout as written by Dramatiq 2.2 (`dramatiq/brokers/redis/dispatch.lua`): `NS:Q.msgs` holds
the messages, `NS:__acks__.WORKER.Q` what each worker has fetched and not acknowledged,
`NS:Q.XQ` the dead letters.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import redis

from lastword.identity import RunId
from lastword.logs import log_notice

#: Messages asked for with one script, during which Redis answers nobody else.
AT_ONCE = 500

#: Says of each message where it is, all at one instant; of one that is held, also by whom. Asking
#: each worker's hold for each message would cost workers times messages, so a hold that is small
#: beside the question, as most are, is read instead.
_LOOK = """
local refs = {unpack(ARGV, 3)}
local holders = {}
for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
    local hold = ARGV[1] .. worker .. ARGV[2]
    local size = redis.call('SCARD', hold)
    if size > #refs / 2 then
        for place, is_held in ipairs(redis.call('SMISMEMBER', hold, unpack(refs))) do
            if is_held == 1 then
                holders[refs[place]] = worker
            end
        end
    elseif size > 0 then
        for _, ref in ipairs(redis.call('SMEMBERS', hold)) do
            holders[ref] = worker
        end
    end
end
local seen = {}
for place, ref in ipairs(refs) do
    if redis.call('HEXISTS', KEYS[1], ref) == 1 then
        seen[place] = holders[ref] and 'held ' .. holders[ref] or 'ready'
    elseif redis.call('ZSCORE', KEYS[2], ref) then
        seen[place] = 'dead_lettered'
    else
        seen[place] = 'gone'
    end
end
return seen
"""

#: Moves messages from the hold of a dead worker back to their queue, each once.
_RELEASE = """
local released = 0
for _, ref in ipairs(ARGV) do
    if redis.call('SREM', KEYS[1], ref) > 0 and redis.call('HEXISTS', KEYS[2], ref) > 0 then
        redis.call('RPUSH', KEYS[3], ref)
        released = released + 1
    end
end
return released
"""


class MessageState(StrEnum):
    """Where the broker has a message."""

    #: In its queue, or waiting for its time there.
    READY = "ready"
    #: Fetched by a worker and not acknowledged; may be delayed in its memory.
    HELD = "held"
    DEAD_LETTERED = "dead_lettered"
    GONE = "gone"
    #: The broker has no way to tell.
    UNKNOWN = "unknown"
    #: The broker did not answer.
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class MessageEvidence:
    """What was seen of one message.

    Attributes:
        state: where it is.
        holder: the broker's id of the worker that holds it.
    """

    state: MessageState
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the ledger believes a run's message to be."""

    run_id: RunId
    queue: str | None
    ref: str | None


class Probe(Protocol):
    """Something that can look for messages: Redis can, RabbitMQ cannot."""

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """The evidence for each message. Never raises."""

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """Give messages back to their queue from a worker that is dead; how many were."""


class BlindProbe:
    """For brokers that cannot be asked: thresholds have to do."""

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """See `Probe`."""
        return {message.run_id: MessageEvidence(MessageState.UNKNOWN) for message in messages}

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """See `Probe`."""
        del queue, holder, refs
        return 0


class RedisProbe:
    """Looks into Dramatiq's keys.

    Args:
        client: the Redis they are in.
        namespace: their prefix.
    """

    def __init__(self, client: redis.Redis, *, namespace: str) -> None:
        self._namespace = namespace
        self._look_for = client.register_script(_LOOK)
        self._release = client.register_script(_RELEASE)

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        """See `Probe`."""
        try:
            return self._look(messages)
        except redis.RedisError as error:
            _unreachable(error)
            return {
                message.run_id: MessageEvidence(MessageState.UNREACHABLE) for message in messages
            }

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        """See `Probe`."""
        keys = [f"__acks__.{holder}.{queue}", f"{queue}.msgs", queue]
        try:
            return int(self._release(keys=[self._key(key) for key in keys], args=list(refs)))
        except redis.RedisError as error:
            _unreachable(error)
            return 0

    def _look(self, messages: Sequence[Whereabouts]) -> dict[RunId, MessageEvidence]:
        found: dict[RunId, MessageEvidence] = {}
        queues: dict[str, list[tuple[RunId, str]]] = defaultdict(list)
        for message in messages:
            # The reference is recorded before a message is sent, so none means: never sent.
            if message.queue is None or message.ref is None:
                found[message.run_id] = MessageEvidence(MessageState.GONE)
            else:
                queues[message.queue].append((message.run_id, message.ref))
        for queue, wanted in queues.items():
            for start in range(0, len(wanted), AT_ONCE):
                found.update(self._look_in(queue, wanted[start : start + AT_ONCE]))
        return found

    def _look_in(
        self, queue: str, wanted: Sequence[tuple[RunId, str]]
    ) -> Iterable[tuple[RunId, MessageEvidence]]:
        dead_letters = f"{queue.removesuffix('.DQ')}.XQ"
        keys = [self._key(key) for key in (f"{queue}.msgs", dead_letters, "__heartbeats__")]
        around_the_worker = (self._key("__acks__."), f".{queue}")
        answers: Any = self._look_for(keys, [*around_the_worker, *(ref for _, ref in wanted)])
        for (run_id, _), answer in zip(wanted, answers, strict=True):
            state, _, holder = answer.decode().partition(" ")
            yield run_id, MessageEvidence(MessageState(state), holder or None)

    def _key(self, name: str) -> str:
        return f"{self._namespace}:{name}"


def _unreachable(error: redis.RedisError) -> None:
    log_notice(logging.WARNING, "broker_unreachable", why=f"{type(error).__name__}: {error}")


#: The kinds of messages that `count_messages` tells apart.
HELD_KINDS = ("ready", "delayed", "in_hand", "dead")


def count_messages(
    client: redis.Redis, namespace: str, queues: Sequence[str]
) -> dict[str, dict[str, int]]:
    """How many messages of each kind Redis holds, by queue; a handful of commands for each.

    Raises:
        redis.RedisError: it does not answer.
    """
    found_workers: list[Any] = client.zrange(f"{namespace}:__heartbeats__", 0, -1)
    workers = [_text(worker) for worker in found_workers]
    pipeline = client.pipeline(transaction=False)
    for queue in queues:
        pipeline.llen(f"{namespace}:{queue}")
        pipeline.llen(f"{namespace}:{queue}.DQ")
        pipeline.zcard(f"{namespace}:{queue}.XQ")
        for worker in workers:
            pipeline.scard(f"{namespace}:__acks__.{worker}.{queue}")
            pipeline.scard(f"{namespace}:__acks__.{worker}.{queue}.DQ")
    answers = iter(pipeline.execute())
    found = {}
    for queue in queues:
        ready, delayed, dead = next(answers), next(answers), next(answers)
        held = [(next(answers), next(answers)) for _ in workers]
        found[queue] = {
            "ready": ready,
            "delayed": delayed + sum(late for _, late in held),
            "in_hand": sum(now for now, _ in held),
            "dead": dead,
        }
    return found


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
