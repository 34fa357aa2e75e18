"""A message as the JSON text that the ledger keeps: what it may hold, and how much of it."""

from __future__ import annotations

import json
from typing import Any

from dramatiq import Message

from lastword.errors import InvalidInputs, PayloadTooLarge
from lastword.identity import DEEPEST, nests_too_deep
from lastword_middleware.options import TRACE, trace_of


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
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputs(
            f"a message for actor {message.actor_name!r} has no JSON form ({error})",
            expected="arguments that are numbers, texts, true, false, null, lists or objects",
            mend="send an id or a text instead of the object",
        ) from error
    if could_be_deep(text) and nests_too_deep([message.args, message.kwargs, message.options]):
        raise InvalidInputs(
            f"a message for actor {message.actor_name!r} nests deeper than {DEEPEST} levels",
            expected=f"arguments with at most {DEEPEST} levels of lists and objects",
            mend="send a reference to the data",
        )
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


def could_be_deep(text: str | bytes) -> bool:
    """Whether a JSON text has enough brackets to nest too deep: a quick look before a slow one."""
    if isinstance(text, bytes):
        return text.count(b"[") + text.count(b"{") > DEEPEST
    return text.count("[") + text.count("{") > DEEPEST
