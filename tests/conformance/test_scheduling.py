"""What schedulers share, on both databases: the lease, slots, sweeps."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lastword.identity import RunId, new_run_id
from lastword.reading.scheduler import list_schedules, list_slots, list_sweeps, read_leader
from lastword.service.leading import Contender, LeaderService
from lastword.service.requests import NewRun
from lastword.service.scheduling import Kept, NewSchedule, ScheduleService, SlotResult
from lastword.service.sweeps import SweepRecord, SweepResult, record_sweep
from lastword.storage.ledger import Ledger, Row
from tests.support import POLICIES, Scene

A, B = Contender("a", "host-a", 1), Contender("b", "host-b", 2)


@pytest.fixture
def scene(ledger: Ledger) -> Scene:
    return Scene(ledger)


def test_one_of_two_leads_until_its_lease_has_run_out(ledger: Ledger) -> None:
    service = LeaderService(ledger)
    assert service.lead("scheduler", A, lease_ttl_s=60)
    assert not service.lead("scheduler", B, lease_ttl_s=60)
    assert service.lead("scheduler", A, lease_ttl_s=0)
    assert service.lead("scheduler", B, lease_ttl_s=60)
    # Who was paused meanwhile learns that it leads no more.
    assert not service.lead("scheduler", A, lease_ttl_s=60)
    leader = read_leader(ledger)
    assert leader is not None
    assert (leader["host"], leader["lease"]) == ("host-b", "live")


def test_a_leader_that_resigns_is_followed_at_once_and_nobody_resigns_for_another(
    ledger: Ledger,
) -> None:
    service = LeaderService(ledger)
    assert service.lead("scheduler", A, lease_ttl_s=60)
    service.resign("scheduler", B)
    assert not service.lead("scheduler", B, lease_ttl_s=60)
    service.resign("scheduler", A)
    assert service.lead("scheduler", B, lease_ttl_s=60)


def schedule_in(ledger: Ledger, name: str = "nightly", *, next_at: int = 1) -> ScheduleService:
    service = ScheduleService(ledger)
    assert service.add(
        NewSchedule(
            id=f"id-{name}",
            name=name,
            operation="report.build",
            cron="* * * * *",
            timezone="UTC",
            actor_name="build",
            payload="{}",
            identity_hash=f"hash-{name}",
            next_at=next_at,
            inputs={"account": 1},
        )
    )
    return service


def run_for(schedule: Row) -> NewRun:
    return NewRun(
        run_id=RunId(new_run_id()),
        policy=POLICIES["report.build"],
        actor_name="build",
        payload="{}",
        identity_hash=schedule["identity_hash"],
    )


def keep(service: ScheduleService, schedule: Row, **changes: Any) -> Kept | None:
    given: dict[str, Any] = {"missed": [], "slot_at": 60_000, "next_at": 120_000, **changes}
    return service.keep(schedule, run=run_for(schedule), **given)


def test_a_slot_that_many_schedulers_see_is_started_by_one(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    [due] = service.due()
    ready, answers = threading.Barrier(4), []

    def contend() -> None:
        ready.wait()
        answers.append(keep(service, due))
        ledger.leave_thread()

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = [answer for answer in answers if answer is not None]
    assert len(answers) == 4
    assert [answer.result for answer in started] == [SlotResult.STARTED]
    [slot] = list_slots(ledger, "nightly")
    assert (slot["result"], slot["run_id"]) == ("started", started[0].run_id)
    with ledger.session():
        assert ledger.execute("SELECT COUNT(*) AS runs FROM lastword_run") == [{"runs": 1}]


def test_a_slot_is_skipped_while_the_run_of_the_one_before_is_active(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    [due] = service.due()
    first = keep(service, due)
    [due] = service.due()
    second = keep(service, due, slot_at=120_000, next_at=180_000)
    assert first is not None
    assert second == Kept(SlotResult.BUSY, first.run_id)


def test_a_slot_that_was_noted_has_no_second_run_whatever_its_schedule_says(
    ledger: Ledger,
) -> None:
    service = schedule_in(ledger)
    [due] = service.due()
    first = keep(service, due)
    assert first is not None
    with ledger.transaction():
        # As after a restore of the schedules from a backup.
        ledger.execute("UPDATE lastword_schedule SET next_at = 1")
        ledger.execute("UPDATE lastword_run SET identity_hash = NULL")
    [due] = service.due()
    assert keep(service, due) == Kept(None, None)
    assert [slot["run_id"] for slot in list_slots(ledger, "nightly")] == [first.run_id]
    with ledger.session():
        assert ledger.execute("SELECT COUNT(*) AS runs FROM lastword_run") == [{"runs": 1}]


def test_a_slot_is_orphaned_once_its_run_is_gone_and_not_before(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    [due] = service.due()
    keep(service, due)
    assert service.orphan_slots() == 0
    with ledger.transaction():
        for table in ("lastword_event", "lastword_run"):
            ledger.execute(f"DELETE FROM {table}")
        ledger.execute("UPDATE lastword_slot SET noted_at = 1")
    assert service.orphan_slots() == 0, "what was noted long ago is not looked at"
    with ledger.transaction():
        ledger.execute(f"UPDATE lastword_slot SET noted_at = {ledger.dialect.now_ms}")
    assert (service.orphan_slots(), service.orphan_slots()) == (1, 0)


def test_slots_that_were_missed_are_noted_and_nothing_is_started_for_them(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    [due] = service.due()
    kept = service.keep(due, missed=[60_000, 120_000], slot_at=None, run=None, next_at=180_000)
    assert kept == Kept(None, None)
    assert [slot["result"] for slot in list_slots(ledger, "nightly")] == ["missed", "missed"]
    with ledger.session():
        assert ledger.execute("SELECT id FROM lastword_run") == []


def test_a_paused_schedule_is_not_due_and_goes_on_where_it_is_told(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    [due] = service.due()
    assert service.pause("nightly")
    assert not service.pause("nightly")
    assert service.due() == []
    # Paused between the look and the deed.
    assert keep(service, due) is None
    assert service.resume("nightly", next_at=4 * 10**12)
    assert service.due() == []
    [row] = list_schedules(ledger)
    assert (row["paused_at"], row["last_slot_at"]) == (None, None)


def test_a_complaint_is_news_once_and_forgotten_with_the_next_slot(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    assert service.complain("id-nightly", "its operation has no policy")
    assert not service.complain("id-nightly", "its operation has no policy")
    [due] = service.due()
    keep(service, due)
    assert list_schedules(ledger)[0]["error"] is None


def test_a_schedules_slots_go_with_it_and_its_runs_stay(ledger: Ledger) -> None:
    service = schedule_in(ledger)
    keep(service, service.due()[0])
    assert service.remove("nightly")
    assert not service.remove("nightly")
    with ledger.session():
        assert ledger.execute("SELECT * FROM lastword_slot") == []
        assert len(ledger.execute("SELECT id FROM lastword_run")) == 1


def test_the_last_success_survives_a_failure(ledger: Ledger) -> None:
    record_sweep(
        ledger,
        SweepRecord("reconcile.generic", "a", SweepResult.SUCCEEDED, 0.25, found=3, acted=2),
    )
    record_sweep(
        ledger, SweepRecord("reconcile.generic", "b", SweepResult.FAILED, 1.5, error="it broke")
    )
    [row] = list_sweeps(ledger)
    assert (row["result"], row["scheduler"], row["error"]) == ("failed", "b", "it broke")
    assert row["succeeded_at"] is not None
    assert (row["found"], row["duration_ms"]) == (0, 1500)
