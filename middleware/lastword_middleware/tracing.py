"""What a tracer is told of starts and attempts. Here: nothing; `spans` tells OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dramatiq import Message
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.errors import ConfigError
from lastword.reasons import Reason
from lastword.states import Outcome
from lastword_middleware.working import OpenAttempt

#: To be told that a message was handed to the queue, with what was raised if anything was.
Told = Callable[[BaseException | None], object]


def tell_nobody(error: BaseException | None) -> None:
    """Nobody wants to know."""


class Tracing:
    """Told of starts and attempts, and keeps it to itself. None of its methods ever raises."""

    def follow(self, broker: Broker) -> None:
        """Be told of every message that is sent through this broker and begins a run."""

    def composed(self, message: Message[Any]) -> tuple[Message[Any], Told]:
        """A message that begins a run, with its trace in it, and what is to be told of its sending.

        Whoever does not send it tells nothing: then there was no sending.
        """
        return message, tell_nobody

    def carried(self, message: Message[Any]) -> Message[Any]:
        """A message that begins a run and that is sent elsewhere, with the trace of this place."""
        return message

    def begin(self, attempt: OpenAttempt) -> None:
        """An attempt begins in this thread, whose trace is the attempt's until `leave`."""

    def end(
        self,
        attempt: OpenAttempt,
        outcome: Outcome,
        reason: Reason | None,
        exception: BaseException | None = None,
    ) -> None:
        """An attempt has ended; `pending` if its run goes on. Told by any thread; twice is once."""

    def leave(self) -> None:
        """This thread works on no attempt any more."""

    def close(self) -> None:
        """The worker stops: what is still open ends with it, and nothing more will be told."""


def tracing_of(config: Config) -> Tracing:
    """What is to be told of runs by this configuration.

    Raises:
        ConfigError: tracing is on, and what it needs is not installed.
    """
    if not config.tracing:
        return Tracing()
    try:
        # Not before it is asked for: a process that does not trace pays nothing, not even this.
        from lastword_middleware.spans import Spans
    except ImportError as error:
        raise ConfigError(
            [f"tracing is on, and OpenTelemetry cannot be imported: {error}"],
            mend="run `pip install 'lastword[otel]'`, or set tracing to false",
        ) from error
    return Spans()
