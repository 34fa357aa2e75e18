"""Each call that a sweep makes of the ledger or of Redis fails once: not done, or its answer lost.

Then it sweeps again, as the scheduler has it do. What stands is what one whole sweep leaves: for
every sweep that there is, on both databases and a real Redis.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
import redis

import lastword_scheduler
from lastword.config import Config
from lastword.errors import LedgerUnavailable
from lastword.service.tenants import add_tenant
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword_scheduler.contact import Contact
from lastword_scheduler.reports import SweepReport
from lastword_scheduler.timetable import timetable
from tests.faults import test_every_call
from tests.faults.breaking import Breakage, Breaker, broken
from tests.faults.sweeps import ELSEWHERE, STORIES, TENANT, Ground, sweeps_in
from tests.support import Scene

#: The bench for the tests of applications: it sweeps with the others.
NO_SWEEPS = ("testing", "pytest_plugin")


@pytest.fixture
def breaker() -> Breaker:
    return Breaker()


@pytest.fixture
def ground(ledger: Ledger, database_url: str, redis_url: str, breaker: Breaker) -> Iterator[Ground]:
    add_tenant(ledger, tenant_id=TENANT, name="Contoso")
    breakable = open_ledger(database_url)
    breaker.attach_database(breakable.database)
    with (
        redis.Redis.from_url(redis_url) as client,
        redis.Redis.from_url(redis_url) as breakable_client,
    ):
        breaker.attach_redis(breakable_client)
        yield Ground(Scene(ledger), client, breakable, breakable_client)
    breakable.close()


def modules() -> Iterator[ModuleType]:
    """Those of the scheduler."""
    for found in pkgutil.iter_modules(lastword_scheduler.__path__):
        if found.name not in NO_SWEEPS:
            yield importlib.import_module(f"lastword_scheduler.{found.name}")


def test_every_sweep_has_its_story() -> None:
    assert sweeps_in(modules()) == {*STORIES, *ELSEWHERE}
    assert all(hasattr(test_every_call, name) for name in ELSEWHERE.values())


def test_a_sweep_without_a_story_is_missed() -> None:
    class NewReconciler:
        def sweep(self) -> SweepReport:
            return SweepReport()

    new = ModuleType("new")
    NewReconciler.__module__ = "new"
    vars(new)["NewReconciler"] = NewReconciler
    assert sweeps_in([*modules(), new]) - {*STORIES, *ELSEWHERE} == {"NewReconciler.sweep"}


def test_every_job_of_the_timetable_is_one_of_them(
    ledger: Ledger, redis_url: str, tmp_path: Path
) -> None:
    jobs = timetable(Config(data_dir=tmp_path, broker_url=redis_url), ledger, Contact(1.0))
    names = {
        f"{type(owner).__name__}.{job.work.__name__}"
        for job in jobs
        if (owner := getattr(job.work, "__self__", None))
    }
    assert names == {*STORIES, *ELSEWHERE}


@pytest.mark.parametrize("name", STORIES)
def test_whichever_call_of_a_sweep_breaks_the_next_makes_up_for_it(
    ground: Ground, breaker: Breaker, name: str
) -> None:
    story = STORIES[name]
    story.prepare(ground, 0)
    breaker.count()
    story.sweep(ground)
    calls = list(breaker.calls)
    breaker.rest()
    assert story.told(ground, 0) == story.expected
    assert len(calls) > 2
    for number in range(2 * len(calls)):
        how = list(Breakage)[number % 2]
        story.prepare(ground, number + 1)
        with broken(breaker, how, number // 2), suppress(LedgerUnavailable, redis.RedisError):
            story.sweep(ground)
        assert breaker.broken, f"{name} made no call {number // 2}"
        story.sweep(ground)
        told = story.told(ground, number + 1)
        assert told == story.expected, f"{breaker.broken} was {how}"
