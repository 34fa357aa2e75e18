"""What a reconciler makes of silence: its own, a stranger's, and that of a worker of ours."""

from __future__ import annotations

import dramatiq
import pytest
import redis
from dramatiq.broker import Broker

from lastword.config import Config
from lastword.storage.ledger import Ledger
from lastword_scheduler.generic import GenericReconciler
from lastword_scheduler.timetable import generic_reconciler
from tests.support import Scene


@pytest.fixture
def reconciler(config: Config, sqlite_ledger: Ledger) -> GenericReconciler:
    return generic_reconciler(config, sqlite_ledger)


def test_a_sweep_that_has_just_reached_the_ledger_ends_no_worker_for_its_lease(
    scene: Scene, reconciler: GenericReconciler
) -> None:
    run_id, worker_id = scene.accept(), scene.worker()
    scene.claim(run_id, worker_id)
    with scene.ledger.transaction():
        scene.ledger.execute("UPDATE lastword_worker SET lease_until = 0")
    # While the ledger is away nobody can renew a lease.
    report = reconciler.sweep()
    assert (report.lost_workers, dict(report.acted)) == (0, {})
    assert scene.row(run_id)["status"] == "running"
    assert scene.workers.renew(worker_id, lease_ttl_s=60)


def test_a_holder_that_the_ledger_has_never_heard_of_is_not_judged(
    broker: Broker, scene: Scene, reconciler: GenericReconciler, redis_url: str
) -> None:
    @dramatiq.actor(operation="report.build", broker=broker)
    def build() -> None: ...

    run_id = build.send().message_id
    scene.backdate(run_id, "sent_at", 10)
    broker.do_fetch("default", 10)  # type: ignore[attr-defined]
    assert dict(reconciler.sweep().acted) == {}
    with redis.Redis.from_url(redis_url) as client:
        assert client.llen("dramatiq:default") == 0
