"""Logging: one line per transition, as text for people or as JSON for machines.

Lastword logs through the standard library, so an application's own handlers receive its lines; only
Lastword's own processes call `configure_logging`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

#: The attribute of a log record that carries the line's fields.
FIELDS = "lastword"

_sources: list[Callable[[], Mapping[str, object]]] = []

_transitions = logging.getLogger("lastword.transitions")
_notices = logging.getLogger("lastword")


def log_transition(name: str, **fields: object) -> None:
    """Write the one line of a transition. Fields that are None are left out."""
    _emit(_transitions, logging.INFO, name, fields)


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


def configure_logging(log_format: str, *, level: int = logging.INFO) -> None:
    """Send everything that logs in this process to stderr, or to the handlers Dramatiq has set.

    Args:
        log_format: `console` or `json`.
        level: the lowest level that is shown.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _fields_of_record,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for handler in root.handlers:
        handler.setFormatter(formatter)
    root.setLevel(level)
    # Their INFO is a line per request or per job run; the transitions say what matters.
    for chatty in ("httpx", "apscheduler", "uvicorn.access", "dramatiq"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def _emit(logger: logging.Logger, level: int, name: str, fields: Mapping[str, object]) -> None:
    if not logger.isEnabledFor(level):
        return
    shown = {key: _sayable(value) for key, value in fields.items() if value is not None}
    # One line, also where an error's text has several.
    text = " ".join(" ".join([name, *(f"{key}={value}" for key, value in shown.items())]).split())
    logger.log(level, "%s", text, extra={FIELDS: {"event": name, **shown}})


def _sayable(value: object) -> object:
    # Half a surrogate pair, as a stranger's message may have it, has no bytes to be written as.
    return value.encode(errors="backslashreplace").decode() if type(value) is str else value


def _fields_of_record(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    carried: dict[str, Any] | None = getattr(record, FIELDS, None)
    told = {key: value for source in _sources for key, value in source().items()}
    return {**event, **told, **(carried or {})}
