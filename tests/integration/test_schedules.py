"""Cron schedules from the application to the slot's run, and the commands that look after them."""

from __future__ import annotations

import json
import time
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import Broker

import lastword
from lastword.config import Config
from lastword.errors import InvalidInputs, StartRefused
from lastword.reading.scheduler import list_schedules, list_slots
from lastword.storage.ledger import Ledger
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_scheduler.slots import MISSED_KEPT, SlotKeeper
from lastword_scheduler.timetable import sending_broker
from tests.integration.test_cli import complaint, said, value
from tests.processes import environment
from tests.support import Scene
from tests.workers import StartWorker


@pytest.fixture
def keeper(config: Config, sqlite_ledger: Ledger) -> SlotKeeper:
    dispatcher = BrokerDispatcher(sending_broker(config, sqlite_ledger), config)
    return SlotKeeper(config, sqlite_ledger, dispatcher)


@pytest.fixture
def build(broker: Broker) -> dramatiq.Actor[[int], None]:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build(account: int) -> None:
        lastword.current_run().remember(seen=account)

    return build


def nightly(name: str = "nightly", **changes: Any) -> str:
    given = {"name": name, "cron": "* * * * *", "inputs": {"account": 42}, **changes}
    return lastword.add_schedule("report.build", **given)


def let_it_be_due(ledger: Ledger, *, since_s: float = 1.0, name: str = "nightly") -> int:
    next_at = int((time.time() - since_s) * 1000)
    with ledger.transaction():
        ledger.execute(
            f"UPDATE lastword_schedule SET next_at = {next_at} WHERE name = {ledger.dialect.param}",
            name,
        )
    return next_at


@pytest.mark.usefixtures("build")
def test_a_slot_that_has_come_is_a_run_with_the_schedules_inputs(
    keeper: SlotKeeper, scene: Scene, start_worker: StartWorker
) -> None:
    schedule_id = nightly(initiator="ada")
    assert keeper.sweep().found == 0
    # The last full minute.
    let_it_be_due(scene.ledger, since_s=60)
    report = keeper.sweep()
    assert dict(report.acted) == {"started": 1}
    assert not keeper.sweep().acted
    [slot] = list_slots(scene.ledger, "nightly")
    start_worker()
    row = scene.completed(slot["run_id"])
    assert (row["outcome"], row["attempt"], row["initiator_id"]) == ("succeeded", 1, "ada")
    context = json.loads(row["context"])
    assert (context["schedule_id"], context["slot"]) == (schedule_id, slot["slot_at"])
    assert (context["inputs"], context["seen"]) == ({"account": 42}, 42)


@pytest.mark.usefixtures("build")
def test_after_a_long_absence_nothing_is_caught_up_and_the_last_slots_are_noted(
    keeper: SlotKeeper, scene: Scene
) -> None:
    nightly()
    let_it_be_due(scene.ledger, since_s=7 * 24 * 3600)
    report = keeper.sweep()
    # The slot of the last minute is not late enough to be missed.
    assert dict(report.acted) == {"missed": MISSED_KEPT - 1, "started": 1}
    results = [slot["result"] for slot in list_slots(scene.ledger, "nightly", limit=200)]
    assert results == ["started", *["missed"] * (MISSED_KEPT - 1)]


@pytest.mark.usefixtures("build")
def test_a_slot_that_is_too_late_is_missed(keeper: SlotKeeper, scene: Scene) -> None:
    nightly(cron="0 0 1 1 *")
    let_it_be_due(scene.ledger, since_s=0)
    with scene.ledger.transaction():
        # A slot of a yearly schedule, as long ago as nobody starts it any more.
        scene.ledger.execute("UPDATE lastword_schedule SET next_at = 1767225600000")
    assert dict(keeper.sweep().acted) == {"missed": 1}
    with scene.ledger.session():
        assert scene.ledger.execute("SELECT id FROM lastword_run") == []


@pytest.mark.usefixtures("build")
def test_a_schedule_that_is_broken_is_told_of_once_and_holds_up_no_other(
    keeper: SlotKeeper, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    nightly("broken", inputs={"account": 1})
    nightly()
    with scene.ledger.transaction():
        scene.ledger.execute(
            "UPDATE lastword_schedule SET operation = 'gone.away' WHERE name = 'broken'"
        )
    for name in ("broken", "nightly"):
        let_it_be_due(scene.ledger, since_s=60, name=name)
    first, second = keeper.sweep(), keeper.sweep()
    assert (first.skipped, dict(first.acted)) == (1, {"started": 1})
    assert (second.skipped, dict(second.acted)) == (1, {})
    told = [line for line in caplog.messages if "schedule_broken" in line]
    assert len(told) == 1
    assert "gone.away" in told[0]
    broken = next(row for row in list_schedules(scene.ledger) if row["name"] == "broken")
    assert "gone.away" in broken["error"]


@pytest.mark.usefixtures("build")
def test_what_cannot_be_scheduled_is_refused_and_nothing_is_written(scene: Scene) -> None:
    for wrong, words in (
        ({"cron": "every night"}, "five fields"),
        ({"timezone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"name": ""}, "1 to 200"),
        ({"inputs": {"account": {1, 2}}}, "no JSON form"),
        ({"inputs": {"nobody": 1}}, "nobody"),
        ({"tenant": "nowhere"}, "no tenant"),
    ):
        with pytest.raises(StartRefused, match=words):
            nightly(**wrong)
    assert list_schedules(scene.ledger) == []
    nightly()
    with pytest.raises(InvalidInputs, match="'nightly' already"):
        nightly()


@pytest.mark.usefixtures("build")
def test_the_commands_list_pause_resume_and_remove_a_schedule(
    keeper: SlotKeeper, config: Config, scene: Scene
) -> None:
    env = environment(database_url=config.database_url, broker_url=config.broker_url)
    assert said("schedules", "list", env=env) == "no schedule yet\n"
    nightly()
    assert said("schedules", "pause", "nightly", env=env) == "paused nightly\n"
    assert said("schedules", "pause", "nightly", env=env) == "nightly is paused already\n"
    let_it_be_due(scene.ledger)
    assert keeper.sweep().found == 0
    assert said("schedules", "resume", "nightly", env=env) == "resumed nightly\n"
    [row] = value("schedules", "list", env=env)
    # Not the slots that passed while it was paused.
    assert row["next_at"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    assert value("schedules", "slots", "nightly", env=env) == []
    assert said("schedules", "remove", "nightly", env=env) == "removed nightly\n"
    for verb in ("slots", "pause", "resume", "remove"):
        assert "no schedule 'nightly'" in complaint(1, "schedules", verb, "nightly", env=env)


def test_a_schedule_of_a_shipped_operation_is_added_by_command(
    config: Config, sqlite_ledger: Ledger
) -> None:
    env = environment(database_url=config.database_url, broker_url=config.broker_url)
    said("tenants", "add", "contoso", env=env)
    add = ("schedules", "add", "hourly", "policy.sync", "--tenant", "contoso")
    assert "five fields" in complaint(2, *add, "--cron", "hourly", env=env)
    said(*add, "--cron", "0 * * * *", "--timezone", "Europe/Berlin", env=env)
    [row] = list_schedules(sqlite_ledger)
    assert (row["operation"], row["tenant_id"]) == ("policy.sync", "contoso")
    assert (row["cron"], row["timezone"]) == ("0 * * * *", "Europe/Berlin")
