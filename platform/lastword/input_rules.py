"""What may be asked for: names of people, delays, and inputs that JSON can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lastword.errors import InvalidInputs, StartRefused
from lastword.identity import DEEPEST, canonical_json, nests_too_deep

#: Characters an initiator's id may have.
MAX_NAME = 64

#: Seconds a run may be held back; Dramatiq's own limit.
MAX_DELAY_S = 7 * 24 * 3600


@contextmanager
def one_of(number: int, count: int) -> Iterator[None]:
    """Say of a refusal which of many runs, counted from 1, it is about."""
    try:
        yield
    except StartRefused as error:
        if count == 1:
            raise
        seen = f"run {number} of {count}: {error.seen}"
        raise type(error)(seen, expected=error.expected, mend=error.mend) from error


def require_name(initiator: str | None) -> None:
    """Refuse what cannot be the id of a person.

    Raises:
        InvalidInputs: it is empty, too long, or cannot be printed.
    """
    if initiator is None:
        return
    if not 0 < len(initiator) <= MAX_NAME or not initiator.isprintable():
        raise InvalidInputs(
            f"initiator {initiator!a} has {len(initiator)} characters",
            expected=f"1 to {MAX_NAME} that can be printed",
            mend="give the id of the user",
        )


def require_delay(delay_s: float) -> None:
    """Refuse a delay that the queue cannot keep.

    Raises:
        InvalidInputs: it is negative or longer than seven days.
    """
    if not 0 <= delay_s <= MAX_DELAY_S:
        raise InvalidInputs(
            f"delay_s is {delay_s!r}", expected=f"0 to {MAX_DELAY_S} seconds (seven days)"
        )


def require_json(inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that JSON cannot hold.

    Raises:
        InvalidInputs: with the first that has no JSON form.
    """
    for name, value in inputs.items():
        try:
            canonical_json([name, value]).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInputs(
                f"input {name!a} of type {type(value).__name__} has no JSON form ({error})",
                expected="numbers, texts, true, false, null, and lists or objects of them",
                mend="pass an id or a text instead of the object",
            ) from error
        if nests_too_deep(value):
            raise InvalidInputs(
                f"input {name!a} has lists or objects more than {DEEPEST} levels deep",
                expected=f"at most {DEEPEST} levels",
                mend="send a reference to the data",
            )
