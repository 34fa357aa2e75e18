"""Type-specific reconcilers on the bench: what they read off a record is the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from lastword import current_run
from lastword.config import Config
from lastword.service.tenants import add_tenant
from lastword.states import Outcome
from lastword_jobs.backups import BackupSet, begin_backup_set, end_record
from lastword_middleware import install
from lastword_scheduler.testing import Bench, bench
from tests.support import policy

BACKUP = policy("backup", on_worker_lost="fail", reconcilers=["generic", "backup_schedule"])


@pytest.fixture
def restoring(tmp_path: Path, bench_url: str) -> Iterator[Bench]:
    """A bench with an actor whose worker dies as soon as it has written its record."""
    broker = StubBroker()
    url = f"sqlite:///{tmp_path / 'application.db'}"
    application = install(broker, config=Config(database_url=url, policies={"backup": BACKUP}))
    with bench(bench_url, original=broker) as opened:
        ledger = opened.application.ledger
        add_tenant(ledger, tenant_id="contoso", name="Contoso")

        @dramatiq.actor(broker=opened.broker, operation="backup", actor_name="backup")
        def backup(ends: bool) -> None:
            run_id = current_run().run_id
            record = begin_backup_set(ledger, run_id=run_id, tenant_id="contoso")
            if ends:
                end_record(ledger, BackupSet, record, Outcome.SUCCEEDED)
            opened.lose_worker()

        yield opened
    application.ledger.close()


def _sent(opened: Bench, **inputs: Any) -> str:
    return opened.broker.actors["backup"].send(**inputs).message_id


def test_a_record_that_holds_the_end_wins_over_a_lost_worker(restoring: Bench) -> None:
    run = _sent(restoring, ends=True)
    restoring.work()
    report = restoring.sweep()
    restoring.assert_ended(run, "succeeded")
    assert restoring.run(run)["closed_by"] == "backup_schedule"
    assert report.acted["conclude"] == 1


def test_a_record_without_an_end_goes_the_way_of_its_run(restoring: Bench) -> None:
    run = _sent(restoring, ends=False)
    restoring.work()
    report = restoring.sweep()
    restoring.assert_ended(run, "failed", "worker_lost")
    assert report.acted == {"close": 1, "records_ended": 1}


def test_one_that_covers_no_actor_here_is_not_asked(restoring: Bench) -> None:
    run = _sent(restoring, ends=True)
    restoring.work()
    del restoring.broker.actors["backup"]
    assert restoring.sweep().acted == {"close": 1}
    restoring.assert_ended(run, "failed", "worker_lost")
