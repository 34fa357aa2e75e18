"""The application that starts runs: what it is made of, and how its messages reach the queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from lastword.config import Config
from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.legitimacy import Gate
from lastword.logs import log_notice
from lastword.service import RunService
from lastword.service.values import Redispatched
from lastword.storage.ledger import Ledger

#: The most runs, and about the most characters of their messages, that are handed on at once.
MOST_IN_A_PART, LARGEST_PART = 1_000, 4_000_000

T = TypeVar("T")


def in_parts(items: Sequence[T], *, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Many runs cut into what one statement or one pipeline takes, in order.

    Args:
        items: what stands for the runs.
        size: characters of one's message.
    """
    part: list[T] = []
    room = LARGEST_PART
    for item in items:
        if part and (len(part) == MOST_IN_A_PART or room < size(item)):
            yield part
            part, room = [], LARGEST_PART
        part.append(item)
        room -= size(item)
    if part:
        yield part


def _tell_nobody(error: Exception | None) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is ready to be sent.

    Attributes:
        run_id: the run that it is for.
        actor_name: the actor that does the work.
        payload: the message as JSON text.
        sent: told when it was handed to the queue, with what was raised if anything was; not told
            if it was not to be sent at all.
        message_queue: where it will be, delayed or not, if it has a `message_ref`.
        message_ref: the id that the broker will know it by; None where the broker gives it none.
    """

    run_id: RunId
    actor_name: str
    payload: str
    sent: Callable[[Exception | None], object] = _tell_nobody
    message_queue: str | None = None
    message_ref: str | None = None


class Dispatcher(Protocol):
    """What sends messages; filled in by the middleware."""

    def compose(
        self,
        operation: str,
        asked: Sequence[tuple[RunId, Mapping[str, Any]]],
        *,
        delay_ms: int = 0,
    ) -> list[Letter]:
        """The messages that would do `operation` with these inputs, checked for actor and size.

        Each carries the trace that it is composed in, if there is one.

        Raises:
            StartRefused: no actor does it, or the inputs do not fit.
        """

    def template(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        """Such a message for runs that are started later, and so in no trace of today.

        Raises:
            StartRefused: no actor does it, or the inputs do not fit.
        """

    def post(self, letters: Sequence[Letter], *, delay_ms: int = 0) -> None:
        """Send composed messages of runs that were accepted, with the delay they were composed for.

        An exception means: any of them may have arrived.
        """

    def send_all(self, runs: Sequence[Redispatched]) -> None:
        """Send the messages of many runs. An exception means: any of them may have arrived."""


@dataclass(frozen=True)  # No slots: it keeps its services once they are asked for.
class Application:
    """What `start` works with: one for each process, made by `lastword_middleware.install`.

    Attributes:
        config: the configuration.
        ledger: the ledger, on the application's own connections if it has any.
        apart: the same ledger on connections that never share the application's transactions.
        dispatcher: what sends messages.
        gate: what judges whether a run may be done.
    """

    config: Config
    ledger: Ledger
    apart: Ledger
    dispatcher: Dispatcher
    gate: Gate

    @cached_property
    def runs(self) -> RunService:
        """The service on the application's own connections."""
        return RunService(self.ledger)

    @cached_property
    def runs_apart(self) -> RunService:
        """The service on connections that never share the application's transactions."""
        return RunService(self.apart)

    def post(self, letters: Sequence[Letter], *, delay_ms: int = 0) -> None:
        """Send the messages of runs that were accepted, and stay so whatever becomes of them."""
        if not letters:
            return
        failed: Exception | None = None
        try:
            self.dispatcher.post(letters, delay_ms=delay_ms)
        except Exception as error:  # noqa: BLE001 - the runs are accepted whatever the broker says
            # Unknown, not failed: the messages may have arrived. The reconciler looks and sends
            # again from the ledger what did not.
            failed = error
            log_notice(
                logging.WARNING,
                "dispatch_unknown",
                run=letters[0].run_id,
                runs=len(letters),
                why=f"{type(error).__name__}: {error}",
            )
        for letter in letters:
            letter.sent(failed)


_application: Application | None = None


def use_application(application: Application) -> None:
    """Make `application` the one that `start` works with in this process."""
    global _application
    _application = application


def application_here() -> Application:
    """The application of this process.

    Raises:
        LastwordError: Lastword is not installed in it.
    """
    if _application is None:
        raise LastwordError(
            "a run was to be started before Lastword was installed in this process",
            mend="call lastword_middleware.install(broker, ...) first",
        )
    return _application
