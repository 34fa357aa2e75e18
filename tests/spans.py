"""Spans in tests: what exports them, and short words for what is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from tests.support import until


@dataclass(frozen=True)
class Told:
    """A span as it was exported."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    links: Mapping[str, str]
    attributes: Mapping[str, Any]
    status: str
    description: str | None

    @property
    def run_id(self) -> str | None:
        found: str | None = self.attributes.get("messaging.message.id")
        return found

    @property
    def attempt(self) -> int:
        return int(self.attributes.get("lastword.attempt", 0))


def told(span: ReadableSpan) -> Told:
    own = span.get_span_context()
    assert own is not None
    return Told(
        name=span.name,
        kind=span.kind.name,
        trace_id=f"{own.trace_id:032x}",
        span_id=f"{own.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        links={
            str((link.attributes or {})["lastword.link"]): f"{link.context.span_id:016x}"
            for link in span.links
        },
        attributes=dict(span.attributes or {}),
        status=span.status.status_code.name,
        description=span.status.description,
    )


@dataclass(frozen=True)
class SpanFile(SpanExporter):
    """Spans in a file, a line each: those of worker processes that end in any way."""

    file: Path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.file.open("a") as lines:
            lines.writelines(json.dumps(vars(told(span))) + "\n" for span in spans)
        return SpanExportResult.SUCCESS

    def spans(self) -> list[Told]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [Told(**json.loads(line)) for line in lines]


@dataclass(eq=False)
class Spans(SpanExporter):
    """The spans of this process since a test began.

    Attributes:
        broken: what a processor of spans is to raise, if anything.
    """

    spans: list[Told] = field(default_factory=list)
    broken: Exception | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += [told(span) for span in spans]
        return SpanExportResult.SUCCESS

    def named(self, name: str) -> list[Told]:
        return [span for span in self.spans if span.name == name]

    def attempts(self, run_id: str, count: int) -> list[Told]:
        """The spans of a run's attempts, once there are so many."""
        return attempts_in(lambda: self.spans, run_id, count)


def attempts_in(spans: Callable[[], Sequence[Told]], run_id: str, count: int) -> list[Told]:
    """The spans of a run's attempts, once there are so many."""

    def found() -> list[Told]:
        return [span for span in spans() if span.kind == "CONSUMER" and span.run_id == run_id]

    until(lambda: len(found()) >= count, what=f"{count} attempts of {run_id} in the trace")
    assert len(found()) == count
    return sorted(found(), key=lambda span: span.attempt)


def write_spans(file: Path) -> None:
    """Let this process write its spans to a file, as an application sends them: in batches."""
    provide(BatchSpanProcessor(SpanFile(file)))


def provide(*processors: SpanProcessor) -> None:
    """Have this process's spans processed; once for a process."""
    provider = TracerProvider()
    for processor in processors:
        provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)


@cache
def spans_here() -> Spans:
    """What collects the spans of this process."""
    spans = Spans()

    class Fragile(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if spans.broken:
                raise spans.broken

        def on_end(self, span: Any) -> None:
            if spans.broken:
                raise spans.broken

    provide(SimpleSpanProcessor(spans), Fragile())
    return spans


@pytest.fixture
def spans() -> Iterator[Spans]:
    """The spans of this process, with nothing of an earlier test, nor broken for the next."""
    here = spans_here()
    here.spans, here.broken = [], None
    yield here
    here.broken = None
