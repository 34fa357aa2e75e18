"""Logging: one line per transition, as text for people or as JSON for machines.

Lastword logs through the standard library, so an application's own handlers receive its lines; only
Lastword's own processes call `configure_logging`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from structlog.typing import EventDict, WrappedLogger

#: The attribute of a log record that carries the line's fields.
FIELDS = "lastword"

#: The attribute of a record that carries the fields of many lines.
LINES = "lastword_lines"

_ENCODER = json.JSONEncoder(sort_keys=True, check_circular=False, default=repr)

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


def configure_logging(log_format: str, *, level: int = logging.INFO) -> None:
    """Send everything that logs in this process to stderr, or to the handlers Dramatiq has set.

    Args:
        log_format: `console` or `json`.
        level: the lowest level that is shown.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_as_json)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    formatter = _Formatter(
        renderer,
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


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record as one line; one that carries the fields of many as so many lines."""

    def __init__(self, renderer: structlog.typing.Processor, **more: Any) -> None:
        super().__init__(**more)
        self._renderer = renderer

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        lines: Sequence[Line] | None = getattr(record, LINES, None)
        if lines is None:
            return super().format(record)
        moment = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        same = {
            **_told_here(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": moment,
        }
        if isinstance(self._renderer, structlog.processors.JSONRenderer):
            return _json_lines(lines, same)
        shown = (_shown(line._asdict(), same) for line in lines)
        return "\n".join(str(self._renderer(None, "info", fields)) for fields in shown)


def _json_lines(lines: Sequence[Line], same: Mapping[str, object]) -> str:
    # Half a surrogate pair is escaped in JSON: nothing has to be made sayable. Most of many lines
    # differ in their run only, and what they share is encoded once.
    heads: dict[tuple[object, ...], str] = {}
    tail = _ENCODER.encode(same)[1:]
    texts = []
    for line in lines:
        shared = line[1:]
        head = heads.get(shared)
        if head is None:
            fields = line._asdict().items()
            said = {key: value for key, value in fields if value is not None and key != "run"}
            head = heads[shared] = _ENCODER.encode(said)[:-1]
        texts.append(f'{head}, "run": {_ENCODER.encode(line.run)}, {tail}')
    return "\n".join(texts)


def _shown(line: Mapping[str, object], same: Mapping[str, object]) -> dict[str, object]:
    return {key: _sayable(value) for key, value in line.items() if value is not None} | dict(same)


def _is_ours(logger: logging.Logger) -> bool:
    here: logging.Logger | None = logger
    while here is not None:
        if not all(isinstance(handler.formatter, _Formatter) for handler in here.handlers):
            return False
        here = here.parent if here.propagate else None
    return True


def _as_json(line: Mapping[str, object], **_: object) -> str:
    return _ENCODER.encode(line)


def _emit(logger: logging.Logger, level: int, name: str, fields: Mapping[str, object]) -> None:
    if not logger.isEnabledFor(level):
        return
    shown = {key: _sayable(value) for key, value in fields.items() if value is not None}
    # One line, also where an error's text has several.
    text = " ".join(" ".join([name, *(f"{key}={value}" for key, value in shown.items())]).split())
    logger.log(level, "%s", text, extra={FIELDS: {"event": name, **shown}})


def _sayable(value: object) -> object:
    # Half a surrogate pair, as a stranger's message may have it, has no bytes to be written as.
    if type(value) is str and not value.isascii():
        return value.encode(errors="backslashreplace").decode()
    return value


def _fields_of_record(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    carried: dict[str, Any] | None = getattr(record, FIELDS, None)
    return {**event, **_told_here(), **(carried or {})}


def _told_here() -> dict[str, object]:
    return {key: value for source in _sources for key, value in source().items()}
