"""What the inputs of an operation ask for: types of objects, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence

from lastword.reasons import Blocked, Reason
from lastword_jobs.graph.contracts import BY_TYPE, Contract

#: Characters of an input that a failure repeats.
MOST_REPEATED = 200


def contracts_of(types: Sequence[str]) -> list[Contract]:
    """The types of these names, each once, in their order.

    Raises:
        Blocked: they are no list of known names.
    """
    if not isinstance(types, list | tuple) or not all(isinstance(name, str) for name in types):
        raise Blocked(
            Reason.EXECUTION_PREREQUISITE_INVALID,
            f"The types are {kind_of(types)}; expected a list of {', '.join(BY_TYPE)}.",
        )
    unknown = [name for name in types if name not in BY_TYPE]
    if unknown:
        raise Blocked(
            Reason.EXECUTION_PREREQUISITE_INVALID,
            f"Unknown types {cut(', '.join(unknown))}; known are {', '.join(BY_TYPE)}.",
        )
    if not types:
        raise Blocked(Reason.EXECUTION_PREREQUISITE_INVALID, "The list of types is empty.")
    return [BY_TYPE[name] for name in dict.fromkeys(types)]


def kind_of(value: object) -> str:
    """What a value is, without the value."""
    return f"of the kind {type(value).__name__}"


def cut(words: str) -> str:
    """What somebody sent: repeated so that it can be found, not so that it fills the ledger."""
    return words if len(words) <= MOST_REPEATED else f"{words[:MOST_REPEATED]} ..."
