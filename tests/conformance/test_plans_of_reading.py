"""What people, programs and Prometheus ask walks no history, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.list_page import ORIGIN, PATHS
from starlette.testclient import TestClient

from lastword.access import Role
from lastword.config import Config, load_config
from lastword.identity import new_run_id
from lastword.metrics.collecting import LedgerCollector
from lastword.metrics.exposing import exposition
from lastword.service.members import add_user, grant, set_overseer
from lastword.service.sessions import new_link
from lastword.service.values import AttemptEnd, Redispatched
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword.web.app import create_app
from lastword_middleware.dispatch import BrokerDispatcher
from lastword_scheduler.broker_metrics import BrokerCollector
from lastword_scheduler.contact import Contact
from lastword_scheduler.leading import Leadership
from lastword_scheduler.metrics import SchedulerCollector
from lastword_scheduler.timetable import sending_broker
from tests.conformance.history import RUNS, TENANTS
from tests.conformance.planning import Statement, about_history, recorded, rows_read, walks
from tests.support import POLICIES, Scene
from tests.web.world import SAME_ORIGIN, no_application

#: The indexes in whose order lists are read, a page at a time.
LISTS = frozenset(
    {
        *("lastword_run_created", "lastword_run_workspace", "lastword_run_tenant"),
        *("lastword_run_operation", "lastword_run_follow_up", "lastword_run_reconciled"),
    }
)

#: Rows that one question may look at: the thousand that a tab counts at most, in each of its parts.
MOST_READ = RUNS // 10

#: Somebody who may see some tenants of a workspace and no more: what ended badly has an index by
#: workspace and none by tenant, so it is looked for among all the runs of those tenants.
MOST_READ_OF_TENANTS = MOST_READ + 2 * RUNS // TENANTS

MORE_PATHS = (
    "/admin/operations?period=all",
    "/admin/operations?status=running",
    "/admin/operations?status=completed&outcome=partially_succeeded",
    "/admin/operations?problem_class=terminal_follow_up",
    "/admin/operations?problem_class=active_stale_attention",
    "/admin/operations?freshness_state=reconciled_failed",
    "/admin/operations?since=2026-01-01T00:00:00Z&until=2100-01-01T00:00:00Z",
    "/admin/operations?tenant_id=n1&tab=attention",
    "/admin/operations/rows",
    "/admin/operations/suggestions",
    "/admin/workers",
    "/admin/notifications",
    "/admin/audit",
    "/admin/account",
    "/api/admin/operations?limit=200&status=queued",
)


@pytest.fixture
def scene(long_ledger: Ledger) -> Scene:
    return Scene(long_ledger)


@pytest.fixture
def config(history_url: str, redis_url: str, tmp_path: Path) -> Config:
    return Config(
        data_dir=tmp_path,
        database_url=history_url,
        broker_url=redis_url,
        secret_key="0123456789abcdef" * 2,
        policies={**POLICIES, **load_config({}).policies},
    )


@contextmanager
def signed_in(scene: Scene, config: Config, *, tenants: list[str] | None) -> Iterator[TestClient]:
    """The browser of somebody who may see the history, or some tenants of it."""
    name = new_run_id()
    add_user(scene.ledger, user_id=name, name="Ada")
    grant(scene.ledger, user_id=name, workspace_id="north", role=Role.OWNER, tenants=tenants)
    if tenants is None:
        set_overseer(scene.ledger, name, oversees=True)
    app = create_app(config, scene.ledger, open_application=no_application)
    with TestClient(app, base_url=ORIGIN) as client:
        token = new_link(scene.ledger, name)
        client.post("/admin/sign-in/link", data={"token": token}, headers=SAME_ORIGIN)
        yield client


def assert_short(
    scene: Scene, statements: list[Statement], path: str, *, most: int = MOST_READ
) -> None:
    asked = [(text, values) for text, values in statements if text.startswith("SELECT")]
    if not about_history(asked):
        return
    assert walks(scene.ledger, asked, but=LISTS) == [], path
    if not scene.ledger.is_one_file:
        for text, values in about_history(asked):
            assert rows_read(scene.ledger, text, values) < most, (path, text)


@pytest.mark.parametrize("tenants", [None, ["n1", "n2"]], ids=["a member", "some tenants"])
def test_no_page_and_no_answer_of_the_api_walks_history(
    scene: Scene, config: Config, tenants: list[str] | None
) -> None:
    worker_id, run_id = scene.worker(), scene.accept(workspace_id="north", tenant_id="n1")
    scene.claim(run_id, worker_id)
    scene.runs.finish([AttemptEnd(run_id, 1, worker_id, Outcome.SUCCEEDED)])
    one = (f"/admin/operations/{run_id}", f"/api/admin/operations/{run_id}")
    most = MOST_READ_OF_TENANTS if tenants else MOST_READ
    with signed_in(scene, config, tenants=tenants) as client:
        for path in (*PATHS.values(), *MORE_PATHS, *one):
            with recorded() as statements:
                answer = client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            assert_short(scene, statements, path, most=most)


def test_a_scrape_walks_no_history(scene: Scene, config: Config) -> None:
    worker_id = scene.worker()
    for number in range(20):
        run_id = scene.accept(message_queue="default", message_ref=f"m{number}")
        if number % 2:
            scene.claim(run_id, worker_id)
    broker = sending_broker(config, scene.ledger)
    leadership = Leadership(scene.ledger, lease_ttl_s=10, contact=Contact(10))
    collectors = [
        LedgerCollector(config, scene.ledger, kept_s=0.0),
        SchedulerCollector(scene.ledger, [], leadership),
        BrokerCollector(broker, scene.ledger),
    ]
    with recorded() as statements:
        text = exposition(collectors)
    assert b"lastword_ledger_up 1" in text
    assert b"lastword_broker_up 1" in text
    assert walks(scene.ledger, statements) == []


def test_what_is_sent_again_is_found_by_its_run(scene: Scene, config: Config) -> None:
    payload = (
        '{"queue_name": "default", "actor_name": "a", "args": [], "kwargs": {}, "options": {}, '
        '"message_id": "m", "message_timestamp": 1}'
    )
    runs = [scene.accept(payload=payload) for _ in range(20)]
    dispatcher = BrokerDispatcher(sending_broker(config, scene.ledger), config, scene.ledger)
    with recorded() as statements:
        dispatcher.send_all([Redispatched(run_id, 1, payload, 0, 0) for run_id in runs])
    assert all(scene.row(run_id)["message_ref"] for run_id in runs)
    assert walks(scene.ledger, statements) == []
