"""Log lines: one JSON object each for machines, one readable line each for people."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from lastword.log_formats import configure_logging
from lastword.logs import add_fields_to_lines, log_notice, log_transition
from lastword.reasons import Reason
from lastword.storage.ledger import Ledger
from tests.support import Scene

TRANSITION: dict[str, Any] = {
    "run": "run-1",
    "operation": "policy.sync",
    "attempt": 2,
    "worker": "worker-1",
    "reason": Reason.WORKER_LOST,
}

CHATTY = ("httpx", "apscheduler", "uvicorn.access", "dramatiq")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the only handler of the root writes; all of logging is put back afterwards."""
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in CHATTY]
    handlers, level, levels = root.handlers[:], root.level, [each.level for each in loggers]
    written = io.StringIO()
    root.handlers[:] = [logging.StreamHandler(written)]
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, before in zip(loggers, levels, strict=True):
        logger.setLevel(before)


def only_ours(lines: io.StringIO) -> None:
    """Pytest adds handlers of its own before each phase; they are not to be given a format."""
    root = logging.getLogger()
    root.handlers[:] = [
        handler for handler in root.handlers if getattr(handler, "stream", None) is lines
    ]


def configured(lines: io.StringIO, log_format: str) -> None:
    only_ours(lines)
    configure_logging(log_format)


def test_a_transition_is_one_json_object_with_its_fields(lines: io.StringIO) -> None:
    configured(lines, "json")
    log_transition("completed", **TRANSITION, tenant=None)
    [line] = lines.getvalue().splitlines()
    said = json.loads(line)
    timestamp = said.pop("timestamp")
    assert timestamp.endswith("Z")
    assert said == {
        **TRANSITION,
        "event": "completed",
        "level": "info",
        "logger": "lastword.transitions",
    }


def test_whatever_logs_in_the_process_is_one_json_object_a_line(lines: io.StringIO) -> None:
    configured(lines, "json")
    try:
        raise ZeroDivisionError("in two\nlines")
    except ZeroDivisionError:
        logging.getLogger("app").exception("it broke\nbadly")
    logging.getLogger("app").warning("hello %s", "world")
    log_notice(logging.ERROR, "ledger_down", why=ValueError("no\nanswer"))
    broke, hello, down = map(json.loads, lines.getvalue().splitlines())
    assert broke["event"] == "it broke\nbadly"
    assert "ZeroDivisionError: in two\nlines" in broke["exception"]
    assert (hello["event"], hello["level"], hello["logger"]) == ("hello world", "warning", "app")
    assert (down["event"], down["level"]) == ("ledger_down", "error")


def test_on_a_console_a_transition_is_one_readable_line(lines: io.StringIO) -> None:
    configured(lines, "console")
    log_transition("completed", **TRANSITION, tenant=None)
    [line] = lines.getvalue().splitlines()
    assert "completed" in line
    for words in ("run=run-1", "operation=policy.sync", "attempt=2", "worker=worker-1"):
        assert words in line
    assert "reason=worker_lost" in line
    assert "tenant" not in line
    assert "\x1b" not in line


def test_on_a_console_an_exception_is_shown_without_a_warning(lines: io.StringIO) -> None:
    configured(lines, "console")
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError:
        logging.getLogger("app").exception("it broke")
    assert "it broke" in lines.getvalue()
    assert "ZeroDivisionError: why" in lines.getvalue()


def test_the_handler_of_an_application_sees_one_readable_line(lines: io.StringIO) -> None:
    only_ours(lines)
    [handler] = logging.getLogger().handlers
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().setLevel(logging.INFO)
    log_transition("completed", **TRANSITION, tenant=None)
    log_notice(logging.WARNING, "ledger_down", why=ValueError("no\nanswer"))
    assert lines.getvalue().splitlines() == [
        "INFO lastword.transitions: completed run=run-1 operation=policy.sync attempt=2 "
        "worker=worker-1 reason=worker_lost",
        "WARNING lastword: ledger_down why=no answer",
    ]


def test_a_level_that_is_not_wanted_costs_nothing_and_says_nothing(lines: io.StringIO) -> None:
    only_ours(lines)
    configure_logging("json", level=logging.WARNING)
    log_transition("completed", **TRANSITION)
    for name in CHATTY:
        logging.getLogger(name).info("a line per request")
    assert lines.getvalue() == ""


def test_the_libraries_below_are_quiet_and_their_warnings_are_not(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(lines, "json")
    for name in CHATTY:
        # A server that another test ran in this process may have shut its logger off.
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
        logging.getLogger(name).info("a line per request")
        logging.getLogger(name).warning("trouble")
    assert [json.loads(line)["event"] for line in lines.getvalue().splitlines()] == ["trouble"] * 4


def test_the_ledger_says_every_transition_with_run_operation_attempt_worker_and_reason(
    sqlite_ledger: Ledger, lines: io.StringIO
) -> None:
    scene = Scene(sqlite_ledger)
    worker = scene.worker()
    configured(lines, "json")
    run_id = scene.accept()
    scene.claim(run_id, worker)
    cancelled = scene.accept()
    scene.runs.cancel([cancelled], by="ada")
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in said] == ["accepted", "claimed", "accepted", "completed"]
    assert [line["run"] for line in said] == [run_id, run_id, cancelled, cancelled]
    assert {line["operation"] for line in said} == {"report.build"}
    assert (said[1]["attempt"], said[1]["worker"]) == (1, worker)
    assert (said[3]["reason"], said[3]["source"]) == (Reason.CANCELLED_BY_OPERATOR, "operator")


def test_a_text_that_no_stream_takes_is_told_in_escapes(caplog: pytest.LogCaptureFixture) -> None:
    log_notice(logging.ERROR, "message_refused", run="\ud800", why="half a pair")
    assert caplog.messages == ["message_refused run=\\ud800 why=half a pair"]


def test_a_line_carries_what_is_known_of_the_place_where_it_is_written(lines: io.StringIO) -> None:
    configure_logging("json")
    known: dict[str, object] = {}

    def source() -> dict[str, object]:
        return known

    add_fields_to_lines(source)
    add_fields_to_lines(source)
    logging.getLogger("mine").info("before")
    known["trace_id"] = "abc"
    logging.getLogger("mine").info("in a trace")
    known.clear()
    before, inside = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert "trace_id" not in before
    assert (inside["event"], inside["trace_id"]) == ("in a trace", "abc")
