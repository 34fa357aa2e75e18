"""A message as Redis delivers it: decoded as far as it can be trusted, and its id there."""

from __future__ import annotations

from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.errors import DecodeError
from dramatiq.message import Message

from lastword.identity import nests_too_deep
from lastword_middleware.encoding import could_be_deep

#: The end of the year 9999, in milliseconds since 1970.
LAST_MOMENT_MS = 253_402_300_800_000


class Delivered(MessageProxy):
    """A message with the text that it was in the queue.

    Attributes:
        text: the text as Redis had it.
    """

    def __init__(self, message: Message[Any], text: bytes) -> None:
        super().__init__(message)
        # Dramatiq's proxy looks each of them up anew, a dozen times for every message.
        self.__dict__.update(vars(message))
        self.text = text


def decoded(data: bytes | None, *, queue_name: str) -> Delivered | None:
    """The message in `data`; None if it is none that this queue's consumer could handle.

    Dramatiq looks up the consumer that acknowledges a message by the message's own queue, and a
    worker thread that finds none there ends.
    """
    if data is None:
        return None
    try:
        message: Message[Any] = Message.decode(data)
        ref = message.options.get("redis_message_id")
    except (DecodeError, TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return None
    texts = (ref, message.message_id, message.actor_name, message.queue_name)
    if not all(isinstance(text, str) for text in texts) or message.queue_name != queue_name:
        return None
    if not isinstance(message.args, list | tuple) or not isinstance(message.kwargs, dict):
        return None
    nested = [message.args, message.kwargs, message.options]
    if could_be_deep(data) and nests_too_deep(nested):
        # It cannot even be named in a log line, by whoever comes to handle it.
        return None
    if not _is_moment(message.options.get("eta")):
        return None
    return Delivered(message, data)


def _is_moment(eta: object) -> bool:
    # NaN has no place in the order of what waits; beyond the calendar nothing ever comes, and who
    # fetched it would hold it for ever. What is no number Dramatiq takes for now.
    return not isinstance(eta, int | float) or eta < LAST_MOMENT_MS


def ref_of(message: MessageProxy | Message[Any]) -> str:
    """The id by which Redis knows a message; each sending has its own."""
    ref: str = message.options["redis_message_id"]
    return ref
