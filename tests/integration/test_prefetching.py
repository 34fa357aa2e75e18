"""A worker that takes many short jobs at once keeps none of them from the others."""

from __future__ import annotations

import threading
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker

from lastword.starting import start_many
from lastword_middleware import consuming
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of

QUEUE = "dramatiq:default"


def waiting(broker: Broker) -> int:
    return int(broker.client.llen(QUEUE))  # type: ignore[attr-defined]


def is_empty(broker: Broker) -> bool:
    return not broker.client.hlen(f"{QUEUE}.msgs")  # type: ignore[attr-defined]


def sizes_of_fetches(broker: Broker) -> list[int]:
    """How many messages of the queue each fetch asks for, from now on."""
    fetch: Any = broker.do_fetch  # type: ignore[attr-defined]
    asked: list[int] = []

    def counted(queue_name: str, number: int) -> Any:
        if queue_name == "default":
            asked.append(number)
        return fetch(queue_name, number)

    broker.do_fetch = counted  # type: ignore[attr-defined]
    return asked


def test_many_short_jobs_are_taken_at_once_and_each_is_done_once(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None:
        calls.append(number)

    start_many("report.build", [{"number": number} for number in range(4_000)])
    asked = sizes_of_fetches(broker)
    start_worker()
    until(lambda: is_empty(broker), within_s=60)
    # Two threads: Dramatiq itself would take four.
    assert asked[0] == 4
    assert max(asked) > 40
    assert sorted(calls) == list(range(4_000))
    # The writer forgets them a moment after Redis has.
    until(lambda: not tracker_of(broker).hands["default"].refs)


def test_short_jobs_that_were_taken_go_back_when_long_ones_keep_every_thread(
    broker: Broker, scene: Scene, start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "HELD_FOR_S", 0.3)
    gate = threading.Event()
    begun = threading.Semaphore(0)

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int, waits: bool = False) -> None:
        if waits:
            begun.release()
            assert gate.wait(30)

    short = [{"number": number} for number in range(2_000)]
    long = [{"number": number, "waits": True} for number in (-1, -2)]
    start_many("report.build", short)
    start_many("report.build", long)
    behind = start_many("report.build", [{"number": 5_000 + number} for number in range(300)])
    start_worker()
    for _ in long:
        assert begun.acquire(timeout=30)
    # All but the few that Dramatiq has itself can be done by others.
    until(lambda: waiting(broker) >= 290, within_s=20, what="what was taken to go back")
    held = [answer for answer in behind if scene.row(answer.run_id)["holder"] is not None]
    assert len(held) <= 8
    gate.set()
    until(lambda: is_empty(broker), within_s=30)
    for answer in behind:
        row = scene.row(answer.run_id)
        assert (row["outcome"], row["attempt"], row["probation"]) == ("succeeded", 1, 0)
