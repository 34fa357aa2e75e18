"""How Lastword's own processes show their log: one line each, as text for people or as JSON.

Apart from `logs`, because an application that only writes lines need not wait for what shows them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from lastword.logs import FIELDS, LINES, Line, LineFormatter, sayable, told_here

_ENCODER = json.JSONEncoder(sort_keys=True, check_circular=False, default=repr)


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


class _Formatter(structlog.stdlib.ProcessorFormatter, LineFormatter):
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
            **told_here(),
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
    return {key: sayable(value) for key, value in line.items() if value is not None} | dict(same)


def _as_json(line: Mapping[str, object], **_: object) -> str:
    return _ENCODER.encode(line)


def _fields_of_record(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    carried: dict[str, Any] | None = getattr(record, FIELDS, None)
    return {**event, **told_here(), **(carried or {})}
