"""An application with actors for tests of the bench, and the bench on each kind of ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage

from lastword.application import Application
from lastword.config import Config
from lastword_middleware import install
from lastword_scheduler.bench_ledger import IN_MEMORY
from lastword_scheduler.testing import Bench, bench
from tests.support import POLICIES, policy

#: A wait that no test of a person's project may take.
LONG_MS = 20_000


@dataclass
class Project:
    """An application with its actors, and what they did."""

    broker: StubBroker
    application: Application
    done: list[Any] = field(default_factory=list)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    broker = StubBroker()
    broker.add_middleware(CurrentMessage())
    slow = policy(min_backoff=LONG_MS / 1000, max_backoff=2 * LONG_MS / 1000, queued_stale_after=99)
    config = Config(
        database_url=f"sqlite:///{tmp_path / 'application.db'}",
        policies={**POLICIES, "report.build": slow},
    )
    opened = Project(broker, install(broker, config=config))
    declare(opened)
    yield opened
    opened.application.ledger.close()
    opened.application.apart.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def bench_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger of each kind that a bench can have."""
    if request.param == "memory":
        return IN_MEMORY
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bench.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
def opened(project: Project, bench_url: str) -> Iterator[Bench]:
    with bench(bench_url, original=project.broker) as made:
        yield made


@pytest.fixture
def in_memory(project: Project) -> Iterator[Bench]:
    """For what has nothing to do with the ledger."""
    with bench(original=project.broker) as made:
        yield made


def declare(project: Project) -> None:
    options: dict[str, Any] = {"broker": project.broker, "operation": "report.build"}

    @dramatiq.actor(**options, actor_name="build", max_retries=2)
    def build(number: int) -> None:
        project.done.append(number)
        if number < 0:
            raise ValueError(f"there is no report {number}")

    @dramatiq.actor(broker=project.broker, operation="report.once", actor_name="once")
    def once(number: int) -> None:
        project.done.append(number)

    @dramatiq.actor(broker=project.broker, queue_name="z", actor_name="first")
    def first(number: int) -> None:
        second.send(number)

    @dramatiq.actor(broker=project.broker, queue_name="a", actor_name="second")
    def second(number: int) -> None:
        message = CurrentMessage.get_current_message()
        project.done.append((number, message.actor_name if message else None))

    @dramatiq.actor(broker=project.broker, actor_name="again")
    def again() -> None:
        again.send_with_options(delay=LONG_MS)

    @dramatiq.actor(broker=project.broker, actor_name="at_once")
    def at_once() -> None:
        at_once.send()


def send(opened: Bench, actor: str, *arguments: Any, delay: int | None = None) -> str:
    actors = opened.broker.actors
    return actors[actor].send_with_options(args=arguments, delay=delay).message_id
