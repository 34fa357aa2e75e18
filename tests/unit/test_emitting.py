"""Hooks are called as Dramatiq calls them: the same, in the same order, but none that is empty."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.broker import Broker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware, MiddlewareError

from lastword_middleware.emitting import emit_to_listeners

Calls = list[tuple[str, str, Any]]


class Listening(Middleware):
    """Tells of what it hears before and after the processing of a message."""

    def __init__(self, name: str, calls: Calls) -> None:
        self.name, self.calls = name, calls

    def before_process_message(self, broker: Broker, message: Any) -> None:
        self.calls.append((self.name, "before", message))

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.calls.append((self.name, "after", (message, result, exception)))


class Deaf(Middleware):
    """Has no hook of its own."""


class Failing(Listening):
    """Raises what it is given, once it was heard."""

    def __init__(self, name: str, calls: Calls, error: Exception) -> None:
        super().__init__(name, calls)
        self.error = error

    def before_process_message(self, broker: Broker, message: Any) -> None:
        super().before_process_message(broker, message)
        raise self.error

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        super().after_process_message(broker, message, result=result, exception=exception)
        raise self.error


Makes = Callable[[Calls], list[Middleware]]

#: Lists of middleware: of those that listen, the deaf between them, and those that fail.
LISTS: dict[str, Makes] = {
    "some listen": lambda calls: [Deaf(), Listening("a", calls), Deaf(), Listening("b", calls)],
    "nobody listens": lambda calls: [Deaf(), Deaf()],
    "one fails": lambda calls: [
        *(Listening("a", calls), Failing("b", calls, RuntimeError("it broke"))),
        Listening("c", calls),
    ],
    "one stops the message": lambda calls: [
        *(Listening("a", calls), Failing("b", calls, MiddlewareError("not this one"))),
        Listening("c", calls),
    ],
}


def emitted(makes: Makes, *, ours: bool) -> tuple[Calls, list[str]]:
    """What is heard of one message, and what came out of emitting."""
    calls: Calls = []
    broker = StubBroker(middleware=[])
    broker.middleware[:] = makes(calls)
    if ours:
        emit_to_listeners(broker)
    raised = []
    try:
        broker.emit_before("process_message", "message")
    except MiddlewareError as error:
        raised.append(str(error))
    broker.emit_after("process_message", "message", result=42)
    return calls, raised


@pytest.mark.parametrize("name", LISTS)
def test_what_is_heard_and_raised_and_logged_is_what_dramatiq_lets_be(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard, logged = [], []
    for ours in (False, True):
        caplog.clear()
        heard.append(emitted(LISTS[name], ours=ours))
        logged.append(
            [(line.levelno, line.getMessage().split(" of ")[0]) for line in caplog.records]
        )
    assert heard[0] == heard[1]
    assert logged[0] == logged[1]
    assert any(level == logging.CRITICAL for level, _ in logged[0]) == name.startswith("one")


def test_an_empty_hook_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    broker = StubBroker(middleware=[])
    broker.middleware[:] = [Deaf()]
    emit_to_listeners(broker)
    broker.emit_before("process_message", "message")
    # Whatever were called now would have been looked up again.
    monkeypatch.setattr(Middleware, "before_process_message", lambda *told: asked.append(told))
    broker.emit_before("process_message", "message")
    assert asked == []


def test_middleware_that_is_added_or_taken_away_later_is_noticed() -> None:
    calls: Calls = []
    broker = StubBroker(middleware=[])
    first, second = Listening("first", calls), Listening("second", calls)
    broker.middleware[:] = [first]
    emit_to_listeners(broker)
    broker.emit_before("process_message", 1)
    broker.add_middleware(second)
    broker.emit_before("process_message", 2)
    broker.middleware.remove(first)
    broker.emit_before("process_message", 3)
    heard = [(name, message) for name, _, message in calls]
    assert heard == [("first", 1), ("first", 2), ("second", 2), ("second", 3)]


def test_a_broker_that_emits_in_its_own_way_keeps_it() -> None:
    told = []

    class Own(StubBroker):
        def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
            told.append(signal)

    broker = Own(middleware=[])
    told.clear()
    emit_to_listeners(broker)
    broker.emit_before("process_message", "message")
    assert told == ["process_message"]
