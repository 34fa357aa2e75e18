"""Sending messages for runs: composed for a start, or taken from the ledger to be sent again."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from dramatiq import Actor, Message
from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import current_millis, dq_name
from dramatiq.middleware import Middleware

from lastword.application import Letter, in_parts
from lastword.config import Config
from lastword.errors import InvalidInputs, UnknownOperation
from lastword.identity import RunId
from lastword.input_rules import one_of
from lastword.logs import log_notice
from lastword.service import RunService
from lastword.service.values import Redispatched, Sending
from lastword.storage.ledger import Ledger
from lastword_middleware.delivered import ref_of
from lastword_middleware.encoding import encoded
from lastword_middleware.options import DISPATCH, OF_ONE_JOURNEY
from lastword_middleware.ordering import Place
from lastword_middleware.tracing import Tracing

_here = threading.local()


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

    def compose(
        self,
        operation: str,
        asked: Sequence[tuple[RunId, Mapping[str, Any]]],
        *,
        delay_ms: int = 0,
    ) -> list[Letter]:
        """See `lastword.application.Dispatcher`."""
        actor = self._actor(operation)
        signature = inspect.signature(actor.fn)
        queue = dq_name(actor.queue_name) if delay_ms else actor.queue_name
        # Redis knows a message by an id of our own, so where it will be can be accepted with it.
        place = queue if isinstance(self._broker, RedisBroker) else None
        letters = []
        for number, (run_id, inputs) in enumerate(asked, start=1):
            ref = str(uuid4()) if place else None
            with one_of(number, len(asked)):
                _require_fit(actor, signature, inputs)
                message, sent = self._tracing.composed(_message(actor, run_id, inputs, ref=ref))
                text = self._encoded(message)
            letters.append(Letter(run_id, actor.actor_name, text, sent, place, ref))
        return letters

    def template(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """See `lastword.application.Dispatcher`."""
        actor = self._actor(operation)
        _require_fit(actor, inspect.signature(actor.fn), inputs)
        return Letter(run_id, actor.actor_name, self._encoded(_message(actor, run_id, inputs)))

    def post(self, letters: Sequence[Letter], *, delay_ms: int = 0) -> None:
        """See `lastword.application.Dispatcher`."""
        delay = delay_ms or None
        if not isinstance(self._broker, RedisBroker):
            for letter in letters:
                self._broker.enqueue(_decoded(letter.payload), delay=delay)
            return
        for part in in_parts(letters, size=lambda letter: len(letter.payload)):
            _post(self._broker, part, delay)

    def send_all(self, runs: Sequence[Redispatched]) -> None:
        """See `lastword.application.Dispatcher`."""
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
        _push(self._broker, [_packed(letter) for _, letter in letters])

    def _encoded(self, message: Message[Any]) -> str:
        return encoded(message, max_payload_bytes=self._config.max_payload_bytes)

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


@contextmanager
def _recorded(messages: Sequence[Message[Any]]) -> Iterator[None]:
    """These, which this thread is about to send, are in the ledger with the places they go to."""
    _here.refs = frozenset(map(ref_of, messages))
    try:
        yield
    finally:
        _here.refs = frozenset()


def is_recorded(message: Message[Any]) -> bool:
    """Whether what this thread is about to send is in the ledger with its place.

    Another middleware that is told of it may send something of its own, which is not.
    """
    return message.options.get("redis_message_id") in getattr(_here, "refs", ())


def _post(broker: RedisBroker, letters: Sequence[Letter], delay: int | None) -> None:
    if delay is None and not _is_watched(broker):
        _push(
            broker,
            [
                (str(letter.message_queue), str(letter.message_ref), letter.payload.encode())
                for letter in letters
            ],
        )
        return
    messages = [
        _addressed(_decoded(letter.payload), delay or 0, ref=letter.message_ref)
        for letter in letters
    ]
    with _recorded(messages):
        for message in messages:
            broker.emit_before("enqueue", message, delay)
    _push(broker, [_packed(message) for message in messages])
    for message in messages:
        broker.emit_after("enqueue", message, delay)


def _is_watched(broker: Broker) -> bool:
    # Whether anybody but Lastword is told of what is sent.
    return any(
        getattr(type(middleware), hook) is not getattr(Middleware, hook)
        for middleware in broker.middleware
        for hook in ("before_enqueue", "after_enqueue")
        if not isinstance(getattr(middleware, "stands", None), Place)
    )


def _packed(message: Message[Any]) -> tuple[str, str, bytes]:
    return message.queue_name, ref_of(message), message.encode()


def _push(broker: RedisBroker, messages: Sequence[tuple[str, str, bytes]]) -> None:
    # What Dramatiq's own `enqueue` does (`dispatch.lua`, 2.2), for many of one queue at once.
    queues: dict[str, dict[str, bytes]] = {}
    for queue_name, ref, data in messages:
        queues.setdefault(queue_name, {})[ref] = data
    with broker.client.pipeline(transaction=True) as pipeline:
        for name, encoded_messages in queues.items():
            queue = f"{broker.namespace}:{name}"
            pipeline.hset(f"{queue}.msgs", mapping=encoded_messages)  # type: ignore[arg-type]
            pipeline.rpush(queue, *encoded_messages)
        pipeline.execute()


def _message(
    actor: Actor[Any, Any], run_id: RunId, inputs: Mapping[str, Any], *, ref: str | None = None
) -> Message[Any]:
    return Message(
        queue_name=actor.queue_name,
        actor_name=actor.actor_name,
        args=(),
        kwargs=dict(inputs),
        options={DISPATCH: 1, "redis_message_id": ref} if ref else {DISPATCH: 1},
        message_id=run_id,
    )


def _addressed(message: Message[Any], delay_ms: int, *, ref: str | None = None) -> Message[Any]:
    options: dict[str, Any] = {"redis_message_id": ref or str(uuid4())}
    queue_name = message.queue_name
    if delay_ms:
        options["eta"], queue_name = current_millis() + delay_ms, dq_name(queue_name)
    return message.copy(queue_name=queue_name, options=options)


def _require_fit(
    actor: Actor[Any, Any], signature: inspect.Signature, inputs: Mapping[str, Any]
) -> None:
    try:
        signature.bind(**inputs)
    except TypeError as error:
        raise InvalidInputs(
            f"inputs {sorted(inputs)} do not fit operation {actor.options['operation']!r}: {error}",
            expected=f"{signature}",
        ) from error
