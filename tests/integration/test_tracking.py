"""Every ordinary way of a message through Dramatiq on a real Redis, as the ledger tells it."""

from __future__ import annotations

import asyncio
import json
import threading

import dramatiq
from dramatiq import Message, group, pipeline
from dramatiq.broker import Broker

from lastword import current_run
from lastword.identity import RunId
from tests.support import Scene, until
from tests.workers import StartWorker


def test_a_plain_send_is_tracked_from_start_to_end(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(account: int) -> None:
        current_run().progress(processed=account, total=account)
        current_run().remember(note="from the actor")

    message = build.send(42)
    start_worker()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["attempt"], row["closed_by"]) == ("succeeded", 1, "worker")
    assert json.loads(row["summary_counts"]) == {"processed": 42, "total": 42}
    assert json.loads(row["context"]) == {"note": "from the actor"}
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]


def test_the_row_is_there_before_the_message_is_sent(broker: Broker, scene: Scene) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    row = scene.row(message.message_id)
    assert (row["status"], row["message_queue"]) == ("queued", "default")
    assert row["message_ref"] == message.options["redis_message_id"]
    kept = Message.decode(row["payload"].encode())
    assert (kept.actor_name, kept.message_id) == ("build", message.message_id)


def test_a_delayed_send_waits_and_is_tracked_through_its_hop(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send_with_options(delay=300)
    row = scene.row(message.message_id)
    assert row["message_queue"] == "default.DQ"
    assert row["available_at"] - row["created_at"] == 300
    start_worker()
    row = scene.completed(message.message_id)
    assert row["message_queue"] == "default"
    assert row["started_at"] >= row["available_at"] - 50
    assert scene.kinds(message.message_id) == ["accepted", "claimed", "completed"]


def test_every_stage_of_a_pipeline_is_a_run(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    seen: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def double(number: int) -> int:
        return 2 * number

    @dramatiq.actor(operation="report.once", broker=broker)
    def keep(number: int) -> None:
        seen.append(number)

    stages = pipeline([double.message(21), keep.message()], broker=broker).run()  # type: ignore[call-arg]
    start_worker()
    for stage in stages.messages:
        assert scene.completed(stage.message_id)["outcome"] == "succeeded"
    assert seen == [42]


def test_a_follow_up_is_sent_only_after_its_parents_truth_is_durable(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    parents: list[str] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def first() -> int:
        return 1

    @dramatiq.actor(operation="report.once", broker=broker)
    def second(number: int) -> None:
        parents.append(scene.row(head.message_id)["status"])
        scene.ledger.leave_thread()

    head = first.message()
    pipeline([head, second.message()], broker=broker).run()  # type: ignore[call-arg]
    start_worker()
    until(lambda: parents)
    assert parents == ["completed"]


def test_every_member_of_a_group_is_a_run(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int) -> None: ...

    members = group([build.message(number) for number in range(5)], broker=broker).run()
    start_worker()
    for member in members.children:
        assert isinstance(member, Message)
        assert scene.completed(member.message_id)["outcome"] == "succeeded"


def test_an_async_actor_is_tracked_and_knows_its_run(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    start_worker()

    @dramatiq.actor(operation="report.build", broker=broker)
    async def build() -> None:
        await asyncio.sleep(0)
        current_run().progress(processed=1)

    message = build.send()
    row = scene.completed(message.message_id)
    assert (row["outcome"], row["summary_counts"]) == ("succeeded", '{"processed": 1}')


def test_progress_reaches_the_ledger_while_the_run_works(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    go_on = threading.Event()

    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None:
        current_run().progress(processed=700, total=1000)
        go_on.wait(10)

    message = build.send()
    start_worker()
    until(lambda: scene.row(message.message_id)["summary_counts"] != "{}")
    row = scene.row(message.message_id)
    assert (row["status"], json.loads(row["summary_counts"])["processed"]) == ("running", 700)
    go_on.set()
    scene.completed(message.message_id)


def test_an_actor_without_an_operation_is_left_to_dramatiq(
    broker: Broker, scene: Scene, start_worker: StartWorker
) -> None:
    ran = threading.Event()

    @dramatiq.actor(broker=broker)
    def plain() -> None:
        ran.set()

    plain.send()
    start_worker()
    assert ran.wait(10)
    with scene.ledger.session():
        assert scene.ledger.execute("SELECT id FROM lastword_run") == []


def test_the_run_id_is_the_message_id(broker: Broker, scene: Scene) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    message = build.send()
    assert scene.row(RunId(message.message_id))["id"] == message.message_id
