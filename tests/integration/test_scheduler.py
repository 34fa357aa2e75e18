"""The jobs of a scheduler: run by the leader alone, never past a deadline, and told of."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from lastword.config import Config
from lastword.errors import LastwordError
from lastword.metrics.collecting import LedgerCollector
from lastword.reading.scheduler import list_sweeps, read_counters, read_leader
from lastword.service.leading import Contender, LeaderService
from lastword.storage.clock import now_ms, require_same_clock
from lastword.storage.ledger import Ledger
from lastword_scheduler.contact import Contact
from lastword_scheduler.leading import SCHEDULER, Leadership
from lastword_scheduler.metrics import SchedulerCollector
from lastword_scheduler.reports import GivenUp, SweepReport
from lastword_scheduler.running import MOST_HUNG, Job, Runner
from lastword_scheduler.timetable import generic_reconciler
from tests.support import Scene, until


@pytest.fixture
def leadership(ledger: Ledger) -> Iterator[Leadership]:
    contact = Contact(lease_ttl_s=1.0)
    leadership = Leadership(ledger, lease_ttl_s=1.0, contact=contact)
    leadership.start()
    until(lambda: leadership.is_held)
    yield leadership
    leadership.stop()


def job(work: object, *, deadline_s: float = 5.0) -> Job:
    return Job("a.job", 1.0, deadline_s, work)  # type: ignore[arg-type]


def runner(
    ledger: Ledger, leadership: Leadership, gave_up: threading.Event | None = None
) -> Runner:
    return Runner(ledger, leadership, give_up=(gave_up or threading.Event()).set)


def test_a_job_runs_where_its_scheduler_leads_and_nowhere_else(
    ledger: Ledger, leadership: Leadership
) -> None:
    ran: list[str] = []

    def work(given_up: GivenUp) -> SweepReport:
        assert not given_up()
        ran.append("leader")
        return SweepReport(found=2)

    standing_by = Leadership(ledger, lease_ttl_s=1.0, contact=Contact(1.0))
    standing_by._contend()
    runner(ledger, standing_by).run(job(work))
    assert ran == []
    runner(ledger, leadership).run(job(work))
    assert ran == ["leader"]
    [row] = list_sweeps(ledger)
    assert (row["job"], row["result"], row["found"]) == ("a.job", "succeeded", 2)
    assert row["scheduler"] == leadership.contender.id


def test_a_sweep_that_hangs_is_left_to_itself_counted_and_does_not_block_the_next(
    ledger: Ledger, leadership: Leadership
) -> None:
    go_on, was_given_up = threading.Event(), threading.Event()
    hangs = True

    def work(given_up: GivenUp) -> SweepReport:
        if hangs:
            go_on.wait(30)
            if given_up():
                was_given_up.set()
        return SweepReport()

    runs = runner(ledger, leadership)
    runs.run(job(work, deadline_s=0.1))
    [row] = list_sweeps(ledger)
    assert (row["result"], row["succeeded_at"]) == ("abandoned", None)
    assert "longer than 0.1 s" in row["error"]
    hangs = False
    runs.run(job(work, deadline_s=5.0))
    assert list_sweeps(ledger)[0]["result"] == "succeeded"
    # When it wakes up it learns that nobody wants its deeds any more.
    go_on.set()
    assert was_given_up.wait(10)
    with ledger.session():
        counters = ledger.execute("SELECT label, value FROM lastword_counter WHERE name = 'sweeps'")
    assert {row["label"]: row["value"] for row in counters} == {
        "a.job/abandoned": 1,
        "a.job/succeeded": 1,
    }


def test_a_scheduler_whose_sweeps_all_hang_gives_itself_up(
    ledger: Ledger, leadership: Leadership
) -> None:
    go_on, gave_up = threading.Event(), threading.Event()

    def work(given_up: GivenUp) -> SweepReport:
        go_on.wait(60)
        return SweepReport()

    runs = runner(ledger, leadership, gave_up)
    for number in range(MOST_HUNG):
        assert not gave_up.is_set(), number
        runs.run(job(work, deadline_s=0.02))
    assert gave_up.is_set()
    go_on.set()


def test_a_job_that_breaks_is_told_of_with_its_error(
    ledger: Ledger, leadership: Leadership
) -> None:
    def work(given_up: GivenUp) -> SweepReport:
        raise ZeroDivisionError("of all things")

    runner(ledger, leadership).run(job(work))
    [row] = list_sweeps(ledger)
    assert (row["result"], row["error"]) == ("failed", "ZeroDivisionError: of all things")


def test_a_leader_that_stops_is_followed_at_once(ledger: Ledger, leadership: Leadership) -> None:
    other = Contender("other", "host", 1)
    assert not LeaderService(ledger).lead(SCHEDULER, other, lease_ttl_s=60)
    leadership.stop()
    assert not leadership.is_held
    assert LeaderService(ledger).lead(SCHEDULER, other, lease_ttl_s=60)
    leader = read_leader(ledger)
    assert leader is not None
    assert leader["holder"] == "other"


def test_a_leader_whose_lease_was_taken_stops_acting(
    ledger: Ledger, leadership: Leadership
) -> None:
    # As after a pause that was longer than the lease.
    with ledger.transaction():
        ledger.execute(
            "UPDATE lastword_leader SET holder = 'other', lease_until = lease_until + 60000"
        )
    until(lambda: not leadership.is_held)


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "standby"])
def test_a_ledger_that_can_only_be_read_lets_no_lease_tell(ledger: Ledger, leads: bool) -> None:
    # As after a failover to a replica, or with a disk that is full: sweeps find every lease expired
    # that no worker could renew.
    if not leads:
        assert LeaderService(ledger).lead(SCHEDULER, Contender("other", "h", 1), lease_ttl_s=60)
    contact = Contact(lease_ttl_s=9.0)
    leadership = Leadership(ledger, lease_ttl_s=9.0, contact=contact)

    def tells() -> bool:
        leadership._contend()
        return contact.leases_tell(now_ms(ledger))

    for ago_ms in (9_000, 6_000, 3_000):
        contact.wrote(now_ms(ledger) - ago_ms)
    assert tells()
    with read_only(ledger):
        assert not tells()
    # From here on a lease has to be renewed, or not, for as long as it lives.
    assert not tells()
    # Where the disk is full only what writes a page fails. Who leads has renewed its lease.
    written = read_counters(ledger, ["stood_by"])
    assert written == ({} if leads else {("stood_by", SCHEDULER): 2})


@contextmanager
def read_only(ledger: Ledger) -> Iterator[None]:
    is_file = ledger.is_one_file
    setting = "PRAGMA query_only" if is_file else "SET default_transaction_read_only"
    with ledger.session():
        ledger.execute(f"{setting} = on")
        yield
        ledger.execute(f"{setting} = off")


def test_prometheus_reads_what_the_jobs_did_and_a_ledger_that_is_down_is_one_series(
    ledger: Ledger, leadership: Leadership
) -> None:
    done = job(lambda given_up: SweepReport(found=7, acted=Counter(close=2), lost_races=1))
    registry = CollectorRegistry()
    registry.register(LedgerCollector(Config(), ledger, kept_s=0.0))
    registry.register(SchedulerCollector(ledger, [done], leadership))
    runner(ledger, leadership).run(done)

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"lastword_{name}", {"task": "a.job", **labels})

    assert sample("reconciler_last_sweep_found") == 7
    assert sample("reconciler_interval_seconds") == 1.0
    assert abs((sample("reconciler_last_success_timestamp_seconds") or 0) - time.time()) < 60
    assert sample("reconciler_sweeps_total", result="succeeded") == 1
    assert sample("reconciler_sweeps_total", result="abandoned") == 0
    assert sample("reconciler_swept_total", kind="acted") == 2
    assert sample("reconciler_swept_total", kind="lost_races") == 1
    assert registry.get_sample_value("lastword_reconciler_leader") == 1
    with ledger.transaction():
        for table in ("sweep", "run"):
            ledger.execute(f"ALTER TABLE lastword_{table} RENAME TO elsewhere_{table}")
    assert [family.name for family in registry.collect()] == ["lastword_ledger_up"]
    assert registry.get_sample_value("lastword_ledger_up") == 0


@pytest.mark.parametrize("apart_s", [-6, 6, 86_400])
def test_a_database_with_another_clock_is_refused(ledger: Ledger, apart_s: int) -> None:
    require_same_clock(ledger)
    now = ledger.dialect.now_ms
    ledger.dialect = replace(ledger.dialect, now_ms=f"({now} + {apart_s * 1000})")  # type: ignore[type-var]
    with pytest.raises(LastwordError, match=r"clock.*from this host's.*at most 5 s.*NTP"):
        require_same_clock(ledger)


def test_a_run_that_cannot_be_judged_is_told_of_once_and_holds_up_no_other(
    config: Config, sqlite_ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(sqlite_ledger)
    poisoned, healthy = scene.accept(), scene.accept()
    with sqlite_ledger.transaction():
        sqlite_ledger.execute(
            "INSERT INTO lastword_policy SELECT 'of-later', operation, "
            '\'{"shape": "unknown"}\', created_at FROM lastword_policy LIMIT 1'
        )
        sqlite_ledger.execute(
            "UPDATE lastword_run SET policy_version = 'of-later' WHERE id = ?", poisoned
        )
    for run_id in (poisoned, healthy):
        scene.backdate(run_id, "sent_at", 100)
    reconciler = generic_reconciler(config, sqlite_ledger)
    first = reconciler.sweep()
    assert (first.skipped, first.acted) == (1, {"redispatch": 1})
    assert reconciler.sweep().skipped == 1
    told = [line for line in caplog.messages if "cannot be judged" in line]
    assert told == [f"run {poisoned} cannot be judged"]
