"""The bench's worker: in the test's own thread, as Dramatiq's would do it, and dead on demand."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import AsyncIO

from lastword import current_run
from lastword.errors import LastwordError
from lastword_scheduler.bench_ledger import IN_MEMORY
from lastword_scheduler.lost_workers import WorkerLost
from lastword_scheduler.testing import Bench, bench
from tests.projects import Project, send

seen: ContextVar[str] = ContextVar("seen", default="nothing")


def add(opened: Bench, name: str, work: Callable[..., Any], **options: Any) -> None:
    """One more actor, on the bench alone."""
    dramatiq.actor(broker=opened.broker, actor_name=name, **options)(work)


def test_actors_work_in_the_thread_and_the_context_of_the_test(in_memory: Bench) -> None:
    found: list[Any] = []

    def look() -> None:
        found.append((threading.get_ident(), seen.get(), current_run().attempt))
        seen.set("what an attempt sets")

    add(in_memory, "look", look, operation="report.build")
    seen.set("the test")
    send(in_memory, "look")
    send(in_memory, "look")
    in_memory.work()
    assert found == 2 * [(threading.get_ident(), "the test", 1)]
    assert seen.get() == "the test"
    with pytest.raises(LookupError):
        current_run()


def test_what_attempts_raised_is_there_with_its_traceback(in_memory: Bench) -> None:
    run = send(in_memory, "build", -1)
    in_memory.work()
    raised = in_memory.exceptions(run)
    assert [str(error) for error in raised] == 3 * ["there is no report -1"]
    assert traceback.extract_tb(raised[0].__traceback__)[-1].name == "build"
    with pytest.raises(AssertionError, match="is completed/failed") as told:
        in_memory.assert_ended(run, "succeeded")
    assert told.value.__cause__ is raised[-1]
    assert in_memory.exceptions(send(in_memory, "build", 1)) == []


def test_a_worker_that_dies_at_work_leaves_its_run_to_the_reconciler(
    project: Project, opened: Bench
) -> None:
    def die_once(number: int) -> None:
        project.done.append(number)
        if current_run().attempt == 1:
            opened.lose_worker()

    add(opened, "die_once", die_once, operation="report.build")
    run, other = send(opened, "die_once", 1), send(opened, "build", 2)
    opened.work()
    assert project.done == [1]
    assert (opened.run(run)["status"], opened.run(other)["status"]) == ("running", "queued")
    opened.sweep()
    opened.work()
    assert sorted(project.done) == [1, 1, 2]
    opened.assert_ended(run, "succeeded")
    opened.assert_ended(other, "succeeded")
    assert opened.run(run)["attempt"] == 2
    assert opened.exceptions(run) == []


def test_a_worker_that_dies_at_work_is_final_where_the_policy_says_so(opened: Bench) -> None:
    add(opened, "die", lambda: opened.lose_worker(), operation="report.once")
    run = send(opened, "die")
    opened.work()
    opened.sweep()
    opened.work()
    opened.assert_ended(run, "failed", "worker_lost")


def test_nothing_is_done_by_an_actor_after_its_worker_died(project: Project, opened: Bench) -> None:
    def go_on() -> None:
        try:
            opened.lose_worker()
        except WorkerLost:
            opened.broker.actors["build"].send(1)

    add(opened, "go_on", go_on, operation="report.once", on_failure="build", on_success="build")
    run = send(opened, "go_on")
    opened.work()
    assert (opened.run(run)["status"], project.done) == ("running", [])
    opened.work()
    assert project.done == []
    opened.sweep()
    opened.assert_ended(run, "failed", "worker_lost")


def test_no_worker_dies_where_none_is_at_work(in_memory: Bench) -> None:
    with pytest.raises(LastwordError, match="no actor with an operation is at work"):
        in_memory.lose_worker()


def test_an_actor_that_loops_past_its_limit_is_stopped(in_memory: Bench) -> None:
    def loop() -> None:
        while True:
            time.sleep(0.01)

    add(in_memory, "loop", loop, operation="report.short")
    run = send(in_memory, "loop")
    in_memory.work()
    in_memory.assert_ended(run, "failed", "time_limit_exceeded")


def test_a_run_can_be_cancelled_by_what_its_actor_calls(opened: Bench) -> None:
    def cancel() -> None:
        opened.application.runs_apart.cancel([current_run().run_id], by="somebody")
        raise ValueError("it was asked to stop by then")

    add(opened, "cancel", cancel, operation="report.build", min_backoff=50, max_backoff=100)
    run = send(opened, "cancel")
    opened.work()
    opened.assert_ended(run, "cancelled", "cancelled_by_operator")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, pytest.fail.Exception])
def test_what_is_the_tests_is_raised_in_the_test(
    project: Project, kind: type[BaseException]
) -> None:
    with bench(original=project.broker) as opened:

        def interrupt() -> None:
            raise kind("in what the actor calls")

        add(opened, "interrupt", interrupt, operation="report.once")
        run = send(opened, "interrupt")
        with pytest.raises(kind, match="in what the actor calls"):
            opened.work()
        opened.assert_ended(run, "failed", "retries_exhausted")
        # And the next worker works.
        run = send(opened, "build", 1)
        opened.work()
        opened.assert_ended(run, "succeeded")


def test_an_actor_that_ends_the_process_has_failed_as_on_a_worker(in_memory: Bench) -> None:
    def leave() -> None:
        raise SystemExit(3)

    add(in_memory, "leave", leave, operation="report.once")
    run = send(in_memory, "leave")
    in_memory.work()
    in_memory.assert_ended(run, "failed", "retries_exhausted")


def test_an_actor_that_calls_work_is_told_not_to(in_memory: Bench) -> None:
    add(in_memory, "call", lambda: in_memory.work(), operation="report.once")
    run = send(in_memory, "call")
    in_memory.work()
    [error] = in_memory.exceptions(run)
    assert "an actor at work called work()" in str(error)


def test_messages_are_done_by_priority_and_then_in_the_order_of_their_sending(
    project: Project, in_memory: Bench
) -> None:
    for name, priority in (("urgent", 1), ("idle", 9)):
        add(in_memory, name, project.done.append, priority=priority, queue_name=name)
    for number in range(3):
        send(in_memory, "idle", f"idle {number}")
        send(in_memory, "urgent", f"urgent {number}")
    in_memory.work()
    assert project.done == [
        f"{name} {number}" for name in ("urgent", "idle") for number in range(3)
    ]


def test_delayed_messages_are_done_in_the_order_in_which_they_are_due(
    project: Project, in_memory: Bench
) -> None:
    for number in (3, 1, 2):
        send(in_memory, "build", number, delay=number * 60_000)
    in_memory.pass_time(200)
    in_memory.work(wait=False)
    assert project.done == [1, 2, 3]


def test_a_message_of_an_actor_that_is_not_there_ends_its_run(in_memory: Bench) -> None:
    run = send(in_memory, "build", 1)
    del in_memory.broker.actors["build"]
    in_memory.work()
    in_memory.assert_ended(run, "failed", "unknown_actor")


def test_coroutines_work_where_the_application_has_an_event_loop(project: Project) -> None:
    project.broker.add_middleware(AsyncIO())

    async def wait() -> None:
        await asyncio.sleep(0)
        project.done.append((seen.get(), current_run().operation))

    with bench(IN_MEMORY, original=project.broker) as opened:
        dramatiq.actor(broker=opened.broker, actor_name="wait", operation="report.build")(wait)
        seen.set("the test")
        run = send(opened, "wait")
        opened.work()
        opened.assert_ended(run, "succeeded")
    assert project.done == [("the test", "report.build")]


def test_benches_in_memory_are_apart(project: Project) -> None:
    with bench(original=project.broker) as first:
        run = send(first, "build", 1)
    with (
        bench(original=project.broker) as second,
        pytest.raises(AssertionError, match="there is no run"),
    ):
        second.run(run)


def test_nothing_of_a_worker_is_left_behind(in_memory: Bench) -> None:
    before, threads = list(in_memory.broker.middleware), threading.active_count()
    for number in range(3):
        send(in_memory, "build", number)
        in_memory.work()
    assert in_memory.broker.middleware == before
    assert threading.active_count() == threads
