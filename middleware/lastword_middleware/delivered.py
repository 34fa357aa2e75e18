"""A message as Redis delivers it: decoded as far as it can be trusted, and its id there."""

from __future__ import annotations

from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.errors import DecodeError
from dramatiq.message import Message


def decoded(data: bytes | None, *, queue_name: str) -> MessageProxy | None:
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
    return MessageProxy(message)


def ref_of(message: MessageProxy | Message[Any]) -> str:
    """The id by which Redis knows a message; each sending has its own."""
    ref: str = message.options["redis_message_id"]
    return ref
