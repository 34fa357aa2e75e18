"""Many runs that are started together: what holds for one holds for each, at a fraction of it."""

from __future__ import annotations

import json
import logging
from typing import Any

import dramatiq
import peewee
import pytest
import redis
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware

import lastword
from lastword.errors import InvalidInputs, PayloadTooLarge, StartRefused
from lastword.service.tenants import add_tenant
from lastword.starting import MOST_AT_ONCE, start_many
from lastword.storage.ledger import Ledger
from lastword_scheduler.timetable import generic_reconciler
from tests.support import Scene, until
from tests.workers import StartWorker, tracker_of

QUEUE = "dramatiq:default"


class Echoing(Middleware):
    """A middleware of the application's own that sends something beside each message."""

    def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        if message.actor_name == "build":
            broker.get_actor("note").send()


class Watching(Middleware):
    """A middleware of the application's own that is told of messages."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.after: list[str] = []

    def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        self.before.append(message.message_id)
        message.options["seen"] = delay or 0

    def after_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        self.after.append(message.message_id)


@pytest.fixture
def calls(broker: Broker) -> list[int]:
    done: list[int] = []

    @dramatiq.actor(operation="report.build", broker=broker)
    def build(number: int, text: str = "") -> None:
        done.append(number)

    return done


def numbers(count: int) -> list[dict[str, int]]:
    return [{"number": number} for number in range(count)]


def rows(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.session():
        return ledger.execute("SELECT * FROM lastword_run ORDER BY id")


def client_of(broker: Broker) -> redis.Redis:
    client: redis.Redis = broker.client  # type: ignore[attr-defined]
    return client


def test_each_of_many_is_accepted_sent_and_done_once_and_in_their_order(
    broker: Broker, scene: Scene, calls: list[int], start_worker: StartWorker
) -> None:
    started = start_many("report.build", numbers(2_300))
    assert {answer.result for answer in started} == {"accepted"}
    held = rows(scene.ledger)
    assert [row["id"] for row in held] == [answer.run_id for answer in started]
    assert [json.loads(row["context"])["inputs"]["number"] for row in held] == list(range(2_300))
    refs = [ref.decode() for ref in client_of(broker).lrange(QUEUE, 0, -1)]  # type: ignore[union-attr]
    assert refs == [row["message_ref"] for row in held]
    assert {row["message_queue"] for row in held} == {"default"}
    start_worker()
    until(lambda: not client_of(broker).hlen(f"{QUEUE}.msgs"), within_s=30)
    assert sorted(calls) == list(range(2_300))
    assert {(row["outcome"], row["attempt"]) for row in rows(scene.ledger)} == {("succeeded", 1)}


def test_the_statements_of_a_thousand_are_those_of_one(
    broker: Broker, calls: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    def sent(inputs: list[dict[str, int]]) -> list[str]:
        """The statements that Peewee tells of; a savepoint has a name of its own."""
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "peewee"):
            start_many("report.build", inputs)
        told: list[Any] = [record.msg for record in caplog.records if record.name == "peewee"]
        return [message[0].split('"')[0] for message in told]

    start_many("report.build", numbers(1))
    of_one = sent([{"number": -1}])
    assert any(statement.startswith("INSERT INTO lastword_run ") for statement in of_one)
    assert sent([{"number": -2 - number} for number in range(1_000)]) == of_one


def test_the_application_s_other_middleware_sees_every_message_and_may_mark_it(
    broker: Broker, calls: list[int]
) -> None:
    watching = Watching()
    broker.add_middleware(watching)
    ids = [answer.run_id for answer in start_many("report.build", numbers(3), delay_s=60)]
    assert watching.before == watching.after == ids
    messages = [json.loads(data) for data in client_of(broker).hvals(f"{QUEUE}.DQ.msgs")]
    assert sorted(message["message_id"] for message in messages) == sorted(ids)
    assert {message["options"]["seen"] for message in messages} == {60_000}
    assert all(message["options"]["eta"] > 60_000 for message in messages)


def test_what_another_middleware_sends_beside_them_is_accepted_before_it_is_sent(
    scene: Scene, broker: Broker, calls: list[int]
) -> None:
    @dramatiq.actor(operation="report.once", broker=broker)
    def note() -> None: ...

    broker.add_middleware(Echoing())
    start_many("report.build", numbers(3))
    held = rows(scene.ledger)
    assert sorted(row["operation"] for row in held) == ["report.build"] * 3 + ["report.once"] * 3
    refs = [ref.decode() for ref in client_of(broker).lrange(QUEUE, 0, -1)]  # type: ignore[union-attr]
    assert sorted(refs) == sorted(row["message_ref"] for row in held)


def test_what_is_the_same_work_is_one_run_within_a_call_and_between_calls(
    scene: Scene, broker: Broker, calls: list[int]
) -> None:
    first = start_many("report.build", [{"number": 1}, {"number": 2}, {"number": 1}])
    assert [answer.result for answer in first] == ["accepted", "accepted", "deduped"]
    assert first[2].run_id == first[0].run_id
    again = start_many("report.build", [{"number": 3}, {"number": 2}])
    assert [answer.result for answer in again] == ["accepted", "deduped"]
    assert again[1].run_id == first[1].run_id
    assert client_of(broker).llen(QUEUE) == len(rows(scene.ledger)) == 3


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"number": float("nan")}, InvalidInputs, "run 2 of 3: input 'number' .* no JSON form"),
        ({"unknown": 1}, InvalidInputs, r"run 2 of 3: inputs \['unknown'\] do not fit"),
        ({"number": 1, "text": "x" * 2_000_000}, PayloadTooLarge, "run 2 of 3: .* bytes"),
    ],
)
def test_one_that_is_wrong_is_named_and_none_is_started(
    scene: Scene,
    broker: Broker,
    calls: list[int],
    wrong: dict[str, Any],
    error: type[StartRefused],
    says: str,
) -> None:
    with pytest.raises(error, match=says) as caught:
        start_many("report.build", [{"number": 1}, wrong, {"number": 2}])
    assert "\n" not in str(caught.value)
    assert rows(scene.ledger) == []
    assert client_of(broker).llen(QUEUE) == 0


def test_too_many_are_refused_and_none_are_nothing(
    scene: Scene, broker: Broker, calls: list[int]
) -> None:
    with pytest.raises(InvalidInputs, match=f"10001 runs .* at most {MOST_AT_ONCE}; .* calls"):
        start_many("report.build", numbers(MOST_AT_ONCE + 1))
    assert start_many("report.build", []) == []
    assert rows(scene.ledger) == []


def test_messages_larger_than_a_part_go_in_several(
    scene: Scene, broker: Broker, calls: list[int]
) -> None:
    large = [{"number": number, "text": "x" * 200_000} for number in range(60)]
    assert len(start_many("report.build", large)) == 60
    assert client_of(broker).llen(QUEUE) == len(rows(scene.ledger)) == 60


def test_what_may_not_be_done_is_blocked_and_not_sent(
    scene: Scene, broker: Broker, calls: list[int]
) -> None:
    add_tenant(scene.ledger, tenant_id="contoso", name="Contoso")
    started = start_many("report.build", numbers(3), tenant="contoso", initiator="nobody")
    assert [answer.result for answer in started] == ["blocked"] * 3
    for answer in started:
        row = scene.row(answer.run_id)
        assert (row["outcome"], row["reason"]) == ("blocked", "initiator_missing")
        assert row["message_ref"] is None
    assert client_of(broker).llen(QUEUE) == 0
    with scene.ledger.session():
        audited = scene.ledger.execute(
            "SELECT run_id, result FROM lastword_audit WHERE action = 'run.start' ORDER BY id"
        )
    assert audited == [{"run_id": it.run_id, "result": "denied"} for it in started]


def test_none_is_accepted_if_the_ledger_fails_in_the_middle(
    scene: Scene, broker: Broker, calls: list[int]
) -> None:
    with scene.ledger.transaction():
        scene.ledger.execute(
            "CREATE TRIGGER fails BEFORE INSERT ON lastword_run "
            """WHEN NEW.context LIKE '%"number": 1200}%' """
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    with pytest.raises(peewee.IntegrityError, match="the disk is full"):
        start_many("report.build", numbers(1_500))
    with scene.ledger.transaction():
        scene.ledger.execute("DROP TRIGGER fails")
    assert rows(scene.ledger) == []
    assert client_of(broker).llen(QUEUE) == 0


def test_what_the_broker_did_not_take_is_accepted_and_sent_by_the_reconciler(
    scene: Scene, broker: Broker, calls: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(broker)
    client.config_set("maxmemory", 1)
    try:
        started = start_many("report.build", numbers(40))
    finally:
        client.config_set("maxmemory", 0)
    assert {answer.result for answer in started} == {"accepted"}
    assert client.llen(QUEUE) == 0
    [line] = [record for record in caplog.records if "dispatch_unknown" in record.getMessage()]
    assert " runs=40 " in line.getMessage()
    for answer in started:
        scene.backdate(answer.run_id, "sent_at", 10)
    generic_reconciler(tracker_of(broker).config, scene.ledger).sweep()
    assert client.llen(QUEUE) == 40
    assert {row["dispatch"] for row in rows(scene.ledger)} == {2}


def test_it_is_offered_to_applications() -> None:
    assert lastword.start_many is start_many
