"""Sending messages for runs: composed for a start, or taken from the ledger to be sent again."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from dramatiq import Actor, Message
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name

from lastword.config import Config
from lastword.errors import InvalidInputs, PayloadTooLarge, UnknownOperation
from lastword.identity import RunId
from lastword.logs import log_notice
from lastword.service import RunService
from lastword.service.values import Redispatched, Sending
from lastword.starting import Letter
from lastword.storage.ledger import Ledger
from lastword_middleware.delivered import ref_of
from lastword_middleware.options import DISPATCH, OF_ONE_JOURNEY, TRACE, trace_of
from lastword_middleware.tracing import Tracing


class BrokerDispatcher:
    """Sends through a Dramatiq broker.

    Args:
        broker: the broker; it must carry Lastword's middleware.
        config: the configuration.
        ledger: where it records what it sends in groups; message by message if there is none.
        tracing: what is told of the runs that are started with it.
    """

    def __init__(
        self,
        broker: Broker,
        config: Config,
        ledger: Ledger | None = None,
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self._broker = broker
        self._config = config
        self._runs = RunService(ledger) if ledger else None
        self._tracing = tracing or Tracing()

    def compose(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """See `lastword.starting.Dispatcher`."""
        message, sent = self._tracing.composed(self._message(operation, run_id, inputs))
        return replace(self._letter(message), sent=sent)

    def template(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """See `lastword.starting.Dispatcher`."""
        return self._letter(self._message(operation, run_id, inputs))

    def send(self, payload: str, *, dispatch: int, retries: int = 0, delay_ms: int = 0) -> None:
        """See `lastword.starting.Dispatcher`."""
        again = fresh(_decoded(payload), dispatch=dispatch, retries=retries)
        self._broker.enqueue(again, delay=delay_ms or None)

    def send_all(self, runs: Sequence[Redispatched]) -> None:
        """See `lastword.starting.Dispatcher`."""
        sendable = [(run, again) for run in runs if (again := _readable(run))]
        if self._runs is None or not isinstance(self._broker, RedisBroker):
            for run, again in sendable:
                self._broker.enqueue(again, delay=run.delay_ms or None)
            return
        letters = [(run, _addressed(again, run.delay_ms)) for run, again in sendable]
        # As everywhere: where a message will be is recorded before it is there.
        self._runs.sent(
            [
                Sending(run.run_id, run.dispatch, letter.queue_name, ref_of(letter))
                for run, letter in letters
            ]
        )
        with self._broker.client.pipeline(transaction=True) as pipeline:
            for _, letter in letters:
                # What Dramatiq's own `enqueue` does (`dispatch.lua`, 2.2).
                queue = f"{self._broker.namespace}:{letter.queue_name}"
                pipeline.hset(f"{queue}.msgs", ref_of(letter), letter.encode())
                pipeline.rpush(queue, ref_of(letter))
            pipeline.execute()

    def _message(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Message[Any]:
        actor = self._actor(operation)
        _require_fit(actor, inputs)
        return Message(
            queue_name=actor.queue_name,
            actor_name=actor.actor_name,
            args=(),
            kwargs=dict(inputs),
            options={DISPATCH: 1},
            message_id=run_id,
        )

    def _letter(self, message: Message[Any]) -> Letter:
        text = encoded(message, max_payload_bytes=self._config.max_payload_bytes)
        return Letter(message.actor_name, text)

    def _actor(self, operation: str) -> Actor[Any, Any]:
        for actor in self._broker.actors.values():
            if actor.options.get("operation") == operation:
                return actor
        named = sorted(
            {str(actor.options.get("operation")) for actor in self._broker.actors.values()}
        )
        raise UnknownOperation(
            f"no actor here does operation {operation!r}",
            expected=f"one of {', '.join(named) or '(none)'}",
            mend=f"declare one with @dramatiq.actor(operation={operation!r})",
        )


def fresh(message: Message[Any], *, dispatch: int, retries: int) -> Message[Any]:
    """The message of a run as the next sending of it, with nothing of an earlier journey."""
    options = {
        option: value for option, value in message.options.items() if option not in OF_ONE_JOURNEY
    }
    options[DISPATCH] = dispatch
    if retries:
        options["retries"] = retries
    return Message(**{**message.asdict(), "options": options})


def _decoded(payload: str) -> Message[Any]:
    message: Message[Any] = Message.decode(payload.encode())
    return message


def _readable(run: Redispatched) -> Message[Any] | None:
    try:
        return fresh(_decoded(run.payload), dispatch=run.dispatch, retries=run.retries)
    except Exception as error:  # noqa: BLE001 - one damaged payload never holds up the others
        why = f"{type(error).__name__}: {error}"
        log_notice(logging.ERROR, "payload_unreadable", run=run.run_id, why=why)
        return None


def _addressed(message: Message[Any], delay_ms: int) -> Message[Any]:
    options: dict[str, Any] = {"redis_message_id": str(uuid4())}
    queue_name = message.queue_name
    if delay_ms:
        options["eta"], queue_name = current_millis() + delay_ms, dq_name(queue_name)
    return message.copy(queue_name=queue_name, options=options)


def canonical(message: Message[Any]) -> Message[Any]:
    """The message as it is kept in the ledger: on its own queue, without the hold of a delay."""
    return message.copy(queue_name=message.queue_name.removesuffix(".DQ"))


def encoded(message: Message[Any], *, max_payload_bytes: int) -> str:
    """A message as the JSON text that the broker would take.

    Its trace, which is bounded, does not count: to trace a start is no reason to refuse it.

    Raises:
        InvalidInputs: an argument has no JSON form.
        PayloadTooLarge: the text is longer than `max_payload_bytes`.
    """
    try:
        text = message.encode().decode()
        json.loads(text, parse_constant=_refuse_constant)
    except (TypeError, ValueError) as error:
        raise InvalidInputs(
            f"a message for actor {message.actor_name!r} has no JSON form ({error})",
            expected="arguments that are numbers, texts, true, false, null, lists or objects",
            mend="send an id or a text instead of the object",
        ) from error
    size = len(text.encode())
    if carried := trace_of(message.options):
        size -= len(json.dumps({TRACE: carried}))
    if size > max_payload_bytes:
        raise PayloadTooLarge(
            f"a message for actor {message.actor_name!r} has {size} bytes",
            expected=f"at most {max_payload_bytes}",
            mend="send a reference to the data, or raise max_payload_bytes",
        )
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _require_fit(actor: Actor[Any, Any], inputs: Mapping[str, Any]) -> None:
    try:
        inspect.signature(actor.fn).bind(**inputs)
    except TypeError as error:
        raise InvalidInputs(
            f"inputs {sorted(inputs)} do not fit operation {actor.options['operation']!r}: {error}",
            expected=f"{inspect.signature(actor.fn)}",
        ) from error
