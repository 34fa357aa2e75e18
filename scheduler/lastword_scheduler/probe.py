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
        self._client = client
        self._namespace = namespace
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
            found.update(self._look_in(queue, wanted))
        return found

    def _look_in(
        self, queue: str, wanted: Sequence[tuple[RunId, str]]
    ) -> Iterable[tuple[RunId, MessageEvidence]]:
        refs = [ref for _, ref in wanted]
        present = self._ask(("HEXISTS", self._key(f"{queue}.msgs"), ref) for ref in refs)
        dead_letters = self._key(f"{queue.removesuffix('.DQ')}.XQ")
        dead = self._ask(("ZSCORE", dead_letters, ref) for ref in refs)
        holders = self._holders(queue, refs)
        for (run_id, ref), is_present, died in zip(wanted, present, dead, strict=True):
            if is_present and ref in holders:
                yield run_id, MessageEvidence(MessageState.HELD, holders[ref])
            elif is_present:
                yield run_id, MessageEvidence(MessageState.READY)
            elif died is not None:
                yield run_id, MessageEvidence(MessageState.DEAD_LETTERED)
            else:
                yield run_id, MessageEvidence(MessageState.GONE)

    def _holders(self, queue: str, refs: Sequence[str]) -> dict[str, str]:
        heartbeats: Any = self._client.zrange(self._key("__heartbeats__"), 0, -1)
        known = [name.decode() for name in heartbeats]
        answers = self._ask(
            ("SMISMEMBER", self._key(f"__acks__.{name}.{queue}"), *refs) for name in known
        )
        return {
            ref: name
            for name, held in zip(known, answers, strict=True)
            for ref, is_held in zip(refs, held, strict=True)
            if is_held
        }

    def _ask(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute())

    def _key(self, name: str) -> str:
        return f"{self._namespace}:{name}"


def _unreachable(error: redis.RedisError) -> None:
    log_notice(logging.WARNING, "broker_unreachable", why=f"{type(error).__name__}: {error}")
