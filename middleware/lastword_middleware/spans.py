"""Starts and attempts as spans of OpenTelemetry, after its conventions for messaging.

A start is a span `send QUEUE`, whose context goes with the message; an attempt is a span
`process QUEUE`, a child of the start and linked to it and to the attempt before. What is carried in
a message is bounded, and no fault of a tracer reaches a run: it is logged once and the run goes on.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from dramatiq import Message
from dramatiq.broker import Broker
from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lastword import __version__
from lastword.logs import add_fields_to_lines, log_notice
from lastword.reasons import Deferral, Reason
from lastword.states import Outcome
from lastword_middleware.covered import operation_of
from lastword_middleware.options import (
    LAST_ATTEMPT,
    MOST_TRACE_NAMES,
    TRACE,
    dispatch_of,
    is_trace_entry,
    trace_of,
)
from lastword_middleware.tracing import Told, Tracing, tell_nobody
from lastword_middleware.working import OpenAttempt

#: Seconds a stopping worker waits for its spans to be handed over; part of `EXIT_MARGIN_S`.
FLUSH_WITHIN_S = 1.0

#: What an application wants to travel with a request may be about people, and the ledger keeps
#: messages for long.
_NOT_CARRIED = frozenset({"baggage"})

#: Names of a start's context; what is carried has the last attempt beside them.
_MOST_OF_START = MOST_TRACE_NAMES - 1

#: Outcomes of attempts that broke: `pending` is what a run is that is tried again.
_ERRORS = frozenset({Outcome.FAILED, Outcome.CANCELLED, Outcome.PENDING})

_W3C = TraceContextTextMapPropagator()


class _Here(threading.local):
    """What is to be given back when this thread leaves its attempt."""

    token: Any = None


class Spans(Tracing):
    """Tells the tracer provider of this process; one that is set later counts from then on."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("lastword", __version__)
        self._here = _Here()
        #: By identity of the attempt. Whoever takes one out ends it, so none is ended twice.
        self._open: dict[int, tuple[OpenAttempt, Span]] = {}
        self._reported: set[str] = set()
        self._operation_of: Callable[[str], str | None] = lambda actor_name: None
        add_fields_to_lines(fields_of_line)

    def follow(self, broker: Broker) -> None:
        """See `Tracing`."""
        self._operation_of = partial(operation_of, broker)
        send = broker.enqueue

        def enqueue(message: Message[Any], *, delay: int | None = None) -> Message[Any]:
            begins_a_run = dispatch_of(message.options) is None
            if not begins_a_run or self._operation_of(message.actor_name) is None:
                return send(message, delay=delay)
            message, sent = self.composed(message)
            try:
                answer: Message[Any] = send(message, delay=delay)
            except BaseException as error:
                sent(error)
                raise
            sent(None)
            return answer

        # No hook of a middleware is told of a sending that failed.
        broker.enqueue = enqueue  # type: ignore[method-assign]

    def composed(self, message: Message[Any]) -> tuple[Message[Any], Told]:
        """See `Tracing`."""
        if trace_of(message.options):
            # Whoever sends it has said what it belongs to.
            return message, tell_nobody
        with self._harmless("send"):
            attributes = self._attributes("send", message)
            name = f"send {attributes['messaging.destination.name']}"
            span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
            traced = _with_trace(message, trace.set_span_in_context(span))
            return traced, partial(self._sent, span)
        return message, tell_nobody

    def carried(self, message: Message[Any]) -> Message[Any]:
        """See `Tracing`."""
        with self._harmless("carry"):
            return _with_trace(message, context.get_current())
        return message

    def begin(self, attempt: OpenAttempt) -> None:
        """See `Tracing`."""
        self.leave()
        options = attempt.message.options
        carried = trace_of(options)
        with self._harmless("begin"):
            # Of nothing that an earlier job left in this thread.
            start = propagate.extract(carried, context=Context())
            span = self._tracer.start_span(
                f"process {attempt.message.queue_name}",
                context=start,
                kind=SpanKind.CONSUMER,
                attributes={
                    **self._attributes("process", attempt.message._message),
                    "lastword.operation": attempt.run.operation,
                    "lastword.attempt": attempt.run.attempt,
                    "lastword.worker": attempt.worker_id,
                },
                links=_links(start, carried),
            )
            self._open[id(attempt)] = attempt, span
            here = trace.set_span_in_context(span, start)
            self._here.token = context.attach(here)
            # A retry, or a deferral, is this message again.
            if trail := {**_bounded(carried or _injected(here)), **_last_attempt(here)}:
                options[TRACE] = trail

    def end(
        self,
        attempt: OpenAttempt,
        outcome: Outcome,
        reason: Reason | None,
        exception: BaseException | None = None,
    ) -> None:
        """See `Tracing`."""
        _, span = self._open.pop(id(attempt), (None, None))
        if span is None:
            return
        with self._harmless("end"):
            try:
                _conclude(span, outcome, reason, exception)
            finally:
                span.end()

    def leave(self) -> None:
        """See `Tracing`."""
        token, self._here.token = self._here.token, None
        if token is not None:
            with self._harmless("leave"):
                context.detach(token)

    def close(self) -> None:
        """See `Tracing`."""
        for attempt, _ in list(self._open.values()):
            self.end(attempt, Outcome.PENDING, Reason.WORKER_LOST)
        # The processes of Dramatiq's workers end without the hooks of an interpreter's exit, and a
        # collector that does not answer must not keep this one from its end.
        flush = threading.Thread(target=self._flush, name="lastword-spans", daemon=True)
        flush.start()
        flush.join(FLUSH_WITHIN_S)

    def _flush(self) -> None:
        with self._harmless("flush"):
            flush = getattr(trace.get_tracer_provider(), "force_flush", None)
            if flush is not None:
                flush()

    def _sent(self, span: Span, error: BaseException | None) -> None:
        with self._harmless("sent"):
            try:
                if error is not None:
                    _mark_error(span, type(error).__name__, error)
            finally:
                span.end()

    def _attributes(self, verb: str, message: Message[Any]) -> dict[str, str]:
        attributes = {
            "messaging.system": "dramatiq",
            "messaging.operation.name": verb,
            "messaging.operation.type": verb,
            "messaging.destination.name": message.queue_name,
            "messaging.message.id": message.message_id,
        }
        operation = self._operation_of(message.actor_name)
        return {**attributes, "lastword.operation": operation} if operation else attributes

    @contextmanager
    def _harmless(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a tracer raises, the run goes on
            if what not in self._reported:
                self._reported.add(what)
                log_notice(logging.WARNING, "tracing_failed", what=what, why=repr(error))


def fields_of_line() -> Mapping[str, object]:
    """The trace that a line of log belongs to."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(here.trace_id),
        "span_id": trace.format_span_id(here.span_id),
    }


def _with_trace(message: Message[Any], here: Context) -> Message[Any]:
    carried = _injected(here)
    return message.copy(options={TRACE: carried}) if carried else message


def _injected(here: Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=here)
    return _bounded(
        {
            name: value
            for name, value in carrier.items()
            if name.lower() not in _NOT_CARRIED and is_trace_entry(name, value)
        }
    )


def _bounded(carried: Mapping[str, str]) -> dict[str, str]:
    # One place is left for the last attempt.
    return dict([entry for entry in carried.items() if entry[0] != LAST_ATTEMPT][:_MOST_OF_START])


def _last_attempt(here: Context) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context=here)
    return {LAST_ATTEMPT: carrier["traceparent"]} if "traceparent" in carrier else {}


def _links(start: Context, carried: Mapping[str, str]) -> list[Link]:
    last = _W3C.extract({"traceparent": carried.get(LAST_ATTEMPT, "")}, context=Context())
    spans = {"start": _span_context(start), "last_attempt": _span_context(last)}
    return [Link(at, {"lastword.link": name}) for name, at in spans.items() if at.is_valid]


def _span_context(here: Context) -> SpanContext:
    return trace.get_current_span(here).get_span_context()


def _conclude(
    span: Span, outcome: Outcome, reason: Reason | None, exception: BaseException | None
) -> None:
    span.set_attribute("lastword.outcome", outcome.value)
    if reason is not None:
        span.set_attribute("lastword.reason", reason.value)
    goes_on = outcome is Outcome.PENDING and isinstance(exception, Deferral)
    if outcome in _ERRORS and not goes_on:
        _mark_error(span, reason.value if reason else outcome.value, exception)


def _mark_error(span: Span, why: str, exception: BaseException | None) -> None:
    # The kind of an exception, never its text: that may hold anything, and stays in the ledger.
    span.set_attribute("error.type", type(exception).__qualname__ if exception else why)
    span.set_status(Status(StatusCode.ERROR, why))
