"""Runs that are made of runs: the parent ends with its last child, and counts each of them once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import dramatiq
import pytest
from dramatiq.broker import Broker

from lastword import start_children
from lastword.config import Config
from lastword.identity import RunId
from lastword.policy_tables import policy_from_table
from lastword.reading.runs import show_run
from lastword.service.values import AttemptEnd, Recorded
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword_scheduler.timetable import generic_reconciler
from tests.support import Scene, policy, until
from tests.workers import StartWorker

Fails = Callable[[int], bool]


@pytest.mark.parametrize(
    ("fails", "outcome", "reason"),
    [
        (lambda part: False, "succeeded", None),
        (lambda part: part == 0, "partially_succeeded", "children_failed"),
        (lambda part: True, "failed", "children_failed"),
    ],
    ids=["all succeed", "one fails", "all fail"],
)
def test_a_parent_ends_with_its_last_child_and_takes_its_outcome_from_them(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    fails: Fails,
    outcome: str,
    reason: str | None,
) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def part(number: int) -> None:
        if fails(number):
            raise ValueError

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        start_children("report.once", [{"number": number} for number in range(20)])

    run_id = build.send().message_id
    start_worker()
    row = scene.completed(run_id)
    assert (row["outcome"], row["reason"], row["closed_by"]) == (outcome, reason, "children")
    counts = json.loads(row["summary_counts"])
    failed = sum(fails(number) for number in range(20))
    assert counts == {"total": 20, "processed": 20, "succeeded": 20 - failed, "failed": failed}
    assert scene.kinds(run_id) == ["accepted", "claimed", "awaiting_children", "completed"]


def test_a_parent_that_waits_needs_no_worker_and_shows_how_far_it_is(
    broker: Broker,
    scene: Scene,
    start_worker: StartWorker,
    config: Config,
    sqlite_ledger: Ledger,
) -> None:
    go_on = threading.Event()

    @dramatiq.actor(operation="report.once", broker=broker)
    def part(number: int) -> None:
        if number:
            go_on.wait(10)

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        start_children("report.once", [{"number": number} for number in range(2)])

    run_id = build.send().message_id
    start_worker()
    until(lambda: scene.row(run_id)["children_open"] == 1 and scene.row(run_id)["returned_at"])
    shown = show_run(scene.ledger, run_id, labels={})
    assert shown["summary_counts"] == {"total": 2, "processed": 1, "succeeded": 1, "failed": 0}
    # Had its attempt run elsewhere, that worker might be long gone by now.
    with scene.ledger.transaction():
        scene.ledger.execute(
            f"UPDATE lastword_run SET worker_id = 'gone' WHERE id = {scene.ledger.dialect.param}",
            run_id,
        )
    before = scene.row(run_id)
    generic_reconciler(config, sqlite_ledger).sweep()
    assert scene.row(run_id) == before
    assert show_run(scene.ledger, run_id, labels={})["freshness_state"] == "fresh_active"
    go_on.set()


def test_a_second_attempt_starts_no_child_twice(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    calls: list[int] = []
    tries: list[int] = []

    @dramatiq.actor(operation="report.once", broker=broker)
    def part(number: int) -> None:
        calls.append(number)

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        tries.append(1)
        start_children("report.once", [{"number": number} for number in range(3)])
        if len(tries) == 1:
            raise ValueError

    run_id = build.send().message_id
    start_worker()
    row = scene.completed(run_id)
    assert (row["outcome"], row["children"], len(tries)) == ("succeeded", 3, 2)
    assert sorted(calls) == [0, 1, 2]


def family(scene: Scene, children: int) -> tuple[RunId, list[RunId], str]:
    """A parent that works, and its children, claimed by one worker."""
    worker_id = scene.worker()
    parent = scene.accept()
    scene.claim(parent, worker_id)
    ids = [scene.accept(parent_id=parent) for _ in range(children)]
    for child in ids:
        scene.claim(child, worker_id)
    return parent, ids, worker_id


def ended(run_id: RunId, worker_id: str, outcome: Outcome = Outcome.SUCCEEDED) -> AttemptEnd:
    return AttemptEnd(run_id, 1, worker_id, outcome)  # type: ignore[arg-type]


def test_children_that_end_before_their_parent_returns_are_not_missed(ledger: Ledger) -> None:
    scene = Scene(ledger)
    parent, children, worker_id = family(scene, 3)
    scene.runs.finish([ended(child, worker_id) for child in children])
    assert scene.row(parent)["status"] == "running"
    assert scene.runs.finish([ended(parent, worker_id)]) == {parent: Recorded.MOVED}
    assert scene.row(parent)["outcome"] == "succeeded"


def test_children_of_many_threads_are_each_counted_once(ledger: Ledger) -> None:
    scene = Scene(ledger)
    parent, children, worker_id = family(scene, 40)
    assert scene.runs.finish([ended(parent, worker_id)]) == {parent: Recorded.WAITING}
    ready = threading.Barrier(4)

    def end(mine: list[RunId]) -> None:
        ready.wait()
        for child in mine:
            # Repeated, as after an answer that was lost.
            scene.runs.finish([ended(child, worker_id)])
            scene.runs.finish([ended(child, worker_id)])
        ledger.leave_thread()

    threads = [threading.Thread(target=end, args=(children[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = scene.row(parent)
    assert (row["outcome"], row["children_open"], row["children_succeeded"]) == ("succeeded", 0, 40)
    assert scene.kinds(parent).count("completed") == 1


def test_a_parent_that_waits_is_cancelled_at_once_and_its_children_go_on(ledger: Ledger) -> None:
    scene = Scene(ledger)
    parent, children, worker_id = family(scene, 1)
    scene.runs.finish([ended(parent, worker_id)])
    scene.runs.cancel([parent], by="ada")
    assert scene.row(parent)["outcome"] == "cancelled"
    assert scene.runs.finish([ended(children[0], worker_id)]) == {children[0]: Recorded.MOVED}
    assert scene.row(parent)["outcome"] == "cancelled"


def test_a_run_lost_after_700_of_1000_items_says_so_and_may_end_in_part(
    scene: Scene, config: Config, sqlite_ledger: Ledger
) -> None:
    from lastword.service.workers import Progress

    given = {key: value for key, value in policy().document().items() if value is not None}
    table = given | {"partial_on_loss": True, "on_worker_lost": "fail"}
    del table["operation"]
    partial = policy_from_table("report.build", table, origin="a test")
    worker_id = scene.worker()
    run_id = scene.accept(policy=partial)
    scene.claim(run_id, worker_id)
    scene.workers.heartbeat(
        worker_id,
        lease_ttl_s=60,
        working=[run_id],
        progress=[Progress(run_id, 1, {"processed": 700, "total": 1000})],
    )
    scene.workers.lose(worker_id, cause={"signal": "SIGKILL"})
    generic_reconciler(config, sqlite_ledger).sweep()
    row = scene.row(run_id)
    assert (row["outcome"], row["reason"]) == ("partially_succeeded", "worker_lost")
    evidence = json.loads(row["reconciliation"])["evidence"]
    assert evidence["progress"] == {"processed": 700, "total": 1000}
