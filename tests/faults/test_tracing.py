"""Traces of runs that worker processes, with all they know, and the broker are lost under."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from opentelemetry import trace

from lastword.application import Application
from lastword.config import load_config
from lastword.starting import start_in
from lastword_middleware.broker import worker_broker
from lastword_middleware.installing import install
from tests.fleets import Fleet, declare
from tests.spans import SpanFile, Told, attempts_in, spans_here
from tests.workers import tracker_of


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One database is enough: messages are kept in both alike."""
    return sqlite_url


@dataclass(frozen=True)
class Traced:
    """A fleet whose workers write their spans to a file, and an application that traces too."""

    fleet: Fleet
    application: Application
    file: SpanFile

    def start(self, **inputs: object) -> tuple[str, str]:
        """Start a run in a span of the application; its id and the trace's."""
        with trace.get_tracer("an application").start_as_current_span("request") as span:
            run = start_in(
                self.application, "fleet.work", inputs=inputs, tenant=None, initiator=None
            )
        return run.run_id, f"{span.get_span_context().trace_id:032x}"

    def attempts(self, run_id: str, count: int) -> list[Told]:
        return attempts_in(self.file.spans, run_id, count)


@pytest.fixture
def traced(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    spans_here()
    file = SpanFile(fleet.folder / "spans")
    monkeypatch.setenv("FLEET_SPANS", str(file.file))
    monkeypatch.setenv("LASTWORD_TRACING", "true")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    config = load_config({**fleet.environment, "LASTWORD_TRACING": "true"})
    broker = worker_broker(config)
    application = install(broker, config=config)
    declare(broker)
    yield Traced(fleet, application, file)
    application.ledger.close()
    tracker_of(broker).ledger.close()
    broker.close()


def test_the_attempt_after_a_killed_worker_is_in_the_trace_and_linked_to_the_start(
    traced: Traced,
) -> None:
    fleet, go_on = traced.fleet, traced.fleet.folder / "go-on"
    fleet.worker()
    run_id, trace_id = traced.start(until_file=str(go_on))
    worker = fleet.running(run_id)  # type: ignore[arg-type]
    os.kill(worker["pid"], signal.SIGKILL)
    fleet.running(run_id, attempt=2)  # type: ignore[arg-type]
    go_on.touch()
    # The first was lost with the worker that would have told of it.
    [second] = traced.attempts(run_id, 1)
    assert (second.attempt, second.trace_id) == (2, trace_id)
    assert second.links == {"start": second.parent_id}
    assert fleet.scene.completed(run_id)["outcome"] == "succeeded"


def test_a_run_whose_message_was_lost_stays_in_the_trace_of_its_start(traced: Traced) -> None:
    run_id, trace_id = traced.start()
    with redis.Redis.from_url(traced.fleet.redis_url) as client:
        client.flushall()
    traced.fleet.supervisor.run("scheduler", "scheduler")
    traced.fleet.worker()
    [attempt] = traced.attempts(run_id, 1)
    assert (attempt.trace_id, attempt.links) == (trace_id, {"start": attempt.parent_id})
    assert traced.fleet.scene.row(run_id)["dispatch"] > 1


def test_a_worker_that_is_stopped_hands_over_the_spans_of_what_it_did(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    traced.fleet.worker()
    run_id, trace_id = traced.start()
    traced.fleet.scene.completed(run_id)
    assert not traced.file.spans()
    os.kill(traced.fleet.supervisor.pids()["worker-1"], signal.SIGTERM)
    [attempt] = traced.attempts(run_id, 1)
    assert (attempt.trace_id, attempt.attributes["lastword.outcome"]) == (trace_id, "succeeded")


#: An interpreter in which OpenTelemetry cannot be imported, as where it is not installed.
_WITHOUT = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
"""

_INSTALL = """
import sys
from dramatiq.brokers.stub import StubBroker
import lastword_middleware
from lastword.config import Config
config = Config(database_url="sqlite:///x.db", tracing={tracing})
lastword_middleware.install(StubBroker(), config=config)
print("lastword_middleware.spans" in sys.modules)
"""


@pytest.mark.parametrize("before", ["", _WITHOUT], ids=["installed", "not installed"])
def test_nothing_of_opentelemetry_is_imported_unless_tracing_is_on(
    tmp_path: Path, before: str
) -> None:
    done = python(before + _INSTALL.format(tracing=False), tmp_path)
    # Where it is installed, the client of Redis may import it on its own account.
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_without_a_tracer_provider_messages_stay_as_they_are(tmp_path: Path) -> None:
    compose = """
from dramatiq import Message
from lastword_middleware.spans import Spans
message = Message("default", "build", (), {}, {})
print(Spans().composed(message)[0] is message, Spans().carried(message) is message)
"""
    done = python(compose, tmp_path)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


def test_tracing_without_the_extra_is_refused_with_what_to_install(tmp_path: Path) -> None:
    done = python(_WITHOUT + _INSTALL.format(tracing=True), tmp_path)
    assert done.returncode == 1
    assert "ConfigError: tracing is on" in done.stderr
    assert "pip install 'lastword[otel]'" in done.stderr


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60
    )
