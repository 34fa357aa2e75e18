"""The bench of `lastword.testing` on each kind of ledger: what passes, is lost, and is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import peewee
import pytest
from dramatiq.middleware import Middleware

import lastword_scheduler.inline_worker
from lastword.application import application_here
from lastword.errors import LastwordError
from lastword.storage.opening import ledger_of, open_ledger
from lastword_scheduler.bench_ledger import place_of
from lastword_scheduler.testing import Bench, bench
from tests.projects import LONG_MS, Project, send
from tests.support import Scene


def test_nobody_waits_between_retries(project: Project, opened: Bench) -> None:
    began = time.monotonic()
    run = send(opened, "build", -1)
    opened.work()
    opened.assert_ended(run, "failed", "retries_exhausted")
    assert project.done == [-1, -1, -1]
    assert time.monotonic() - began < LONG_MS / 1000


def test_what_waits_for_its_time_is_left_if_that_is_asked_for(
    project: Project, opened: Bench
) -> None:
    run = send(opened, "build", 1, delay=3_600_000)
    opened.work(wait=False)
    opened.pass_time(3_500)
    opened.work(wait=False)
    assert project.done == []
    opened.pass_time(101)
    opened.work(wait=False)
    assert project.done == [1]
    opened.assert_ended(run, "succeeded")


def test_a_delayed_message_is_not_taken_for_a_lost_one(opened: Bench) -> None:
    run = send(opened, "build", 1, delay=3_600_000)
    opened.pass_time(60)
    opened.sweep()
    assert opened.run(run)["dispatch"] == 1


def test_what_work_sends_to_another_queue_is_done_too(project: Project, opened: Bench) -> None:
    for number in range(20):
        send(opened, "first", number)
    opened.work()
    # The name also tells that CurrentMessage was lent.
    assert sorted(project.done) == [(number, "second") for number in range(20)]


def test_messages_grow_old_with_their_runs(project: Project, opened: Bench) -> None:
    actor = opened.broker.actors["build"]
    run = actor.send_with_options(args=(1,), max_age=60_000).message_id
    opened.pass_time(61)
    opened.work()
    opened.assert_ended(run, "failed", "age_limit_exceeded")
    assert project.done == []


def test_one_message_is_lost_and_the_others_are_not(project: Project, opened: Bench) -> None:
    lost, delayed, other = (send(opened, "build", n, delay=d) for n, d in [(1, 0), (2, 9), (3, 0)])
    opened.lose_message(lost)
    opened.lose_message(delayed)
    opened.work()
    assert project.done == [3]
    opened.assert_ended(other, "succeeded")
    with pytest.raises(LastwordError, match=f"run {lost} has no message in the queue"):
        opened.lose_message(lost)
    opened.pass_time(60)
    opened.sweep()
    opened.work()
    opened.assert_ended(lost, "succeeded")
    opened.assert_ended(delayed, "succeeded")


def test_a_lost_worker_takes_its_own_message_only(project: Project, opened: Bench) -> None:
    lost, other = (send(opened, "once", number) for number in (1, 2))
    opened.lose_worker(lost)
    opened.sweep()
    opened.work()
    opened.assert_ended(lost, "failed", "worker_lost")
    opened.assert_ended(other, "succeeded")
    assert project.done == [2]


def test_no_worker_is_lost_with_a_run_that_has_ended(opened: Bench) -> None:
    run = send(opened, "build", 1)
    opened.work()
    with pytest.raises(LastwordError, match="no worker would begin with run"):
        opened.lose_worker(run)
    opened.assert_ended(run, "succeeded")


def test_an_unknown_run_is_named(opened: Bench) -> None:
    with pytest.raises(AssertionError, match="there is no run nobody on this bench"):
        opened.assert_ended("nobody", "succeeded")


@pytest.mark.parametrize("actor", ["again", "at_once"])
def test_work_without_an_end_is_given_up(
    opened: Bench, monkeypatch: pytest.MonkeyPatch, actor: str
) -> None:
    monkeypatch.setattr(lastword_scheduler.inline_worker, "MOST_MESSAGES", 5)
    send(opened, actor)
    with pytest.raises(LastwordError, match="there was still work after 5 messages"):
        opened.work()


def test_more_middleware_is_given_by_whoever_needs_it(
    project: Project, empty_database_url: str
) -> None:
    class Seeing(Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            project.done.append("seen")

    with bench(empty_database_url, original=project.broker, middleware=[Seeing()]) as opened:
        send(opened, "build", 1)
        opened.work()
    assert project.done == ["seen", 1]


def test_the_applications_own_ledger_is_refused(project: Project, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'there' / '..' / 'application.db'}"
    (tmp_path / "there").mkdir()
    with pytest.raises(LastwordError, match="is the application's own ledger"), bench(url):
        pass
    assert application_here() is project.application
    assert not (tmp_path / "application.db").exists()


def test_a_ledger_with_a_living_worker_is_refused(
    project: Project, empty_database_url: str
) -> None:
    with bench(empty_database_url, original=project.broker):
        pass
    ledger = open_ledger(empty_database_url)
    Scene(ledger).worker()
    ledger.close()
    refused = pytest.raises(LastwordError, match="has living workers: 1")
    with refused, bench(empty_database_url, original=project.broker):
        pass
    assert application_here() is project.application


def test_two_ways_to_write_one_database_of_postgres_are_one_place() -> None:
    urls = [
        "postgresql://app:secret@localhost/app",
        "postgresql://other@127.0.0.1:5432/app?connect_timeout=3",
        "postgres:///app?host=localhost",
    ]
    ledgers = [open_ledger(url) for url in urls]
    ledgers.append(ledger_of(peewee.PostgresqlDatabase("app", host="localhost", user="app")))
    assert len({place_of(ledger) for ledger in ledgers}) == 1
    others = ["postgresql://localhost/tests", "postgresql://localhost:5433/app"]
    assert not {place_of(open_ledger(url)) for url in others} & {place_of(ledgers[0])}
