"""Logging: one line per transition, as text for people or as JSON for machines.

Lastword logs through the standard library, so an application's own handlers receive its lines; only
Lastword's own processes show them themselves (`log_formats`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

#: The attribute of a log record that carries the line's fields.
FIELDS = "lastword"

#: The attribute of a record that carries the fields of many lines.
LINES = "lastword_lines"

_sources: list[Callable[[], Mapping[str, object]]] = []

_transitions = logging.getLogger("lastword.transitions")
_notices = logging.getLogger("lastword")


class Line(NamedTuple):
    """What the log says of a transition of a run; what is None is left out.

    Attributes:
        event: the kind of the transition.
    """

    run: str
    event: str
    operation: str
    outcome: str | None
    reason: str | None
    attempt: int
    source: str
    worker: str | None


def log_transition(name: str, **fields: object) -> None:
    """Write the one line of a transition. Fields that are None are left out."""
    _emit(_transitions, logging.INFO, name, fields)


def log_transitions(lines: Sequence[Line]) -> None:
    """Write the lines of many transitions.

    Where every handler is one of ours they are written in one go; an application's own handlers
    get a record for each.
    """
    if not _transitions.isEnabledFor(logging.INFO):
        return
    if len(lines) > 1 and _is_ours(_transitions):
        _transitions.info("%d transitions", len(lines), extra={LINES: lines})
        return
    for line in lines:
        fields = line._asdict()
        _emit(_transitions, logging.INFO, str(fields.pop("event")), fields)


def log_notice(level: int, name: str, **fields: object) -> None:
    """Write a line about the platform itself: what happened, with its evidence as fields."""
    _emit(_notices, level, name, fields)


def add_fields_to_lines(source: Callable[[], Mapping[str, object]]) -> None:
    """Let every line carry what `source` says in the thread that logs; adding it twice adds one.

    Args:
        source: gives fields; none where it has nothing to say.
    """
    if source not in _sources:
        _sources.append(source)


class LineFormatter(logging.Formatter):
    """What shows a record that carries the fields of many lines as so many lines."""


def _is_ours(logger: logging.Logger) -> bool:
    here: logging.Logger | None = logger
    while here is not None:
        if not all(isinstance(handler.formatter, LineFormatter) for handler in here.handlers):
            return False
        here = here.parent if here.propagate else None
    return True


def _emit(logger: logging.Logger, level: int, name: str, fields: Mapping[str, object]) -> None:
    if not logger.isEnabledFor(level):
        return
    shown = {key: sayable(value) for key, value in fields.items() if value is not None}
    # One line, also where an error's text has several.
    text = " ".join(" ".join([name, *(f"{key}={value}" for key, value in shown.items())]).split())
    logger.log(level, "%s", text, extra={FIELDS: {"event": name, **shown}})


def sayable(value: object) -> object:
    """A value as every stream can write it."""
    # Half a surrogate pair, as a stranger's message may have it, has no bytes to be written as.
    if type(value) is str and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    return value


def told_here() -> dict[str, object]:
    """What every line of this thread carries."""
    return {key: value for source in _sources for key, value in source().items()}
