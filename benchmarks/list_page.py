"""How long the list of runs takes to answer over a long history, and how often it asks."""

from __future__ import annotations

import html
import logging
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from starlette.testclient import TestClient

from benchmarks.backlog import OPERATION, fill
from benchmarks.rows import Row, row
from benchmarks.stand import Stand, stand
from lastword.access import Role
from lastword.service.members import add_user, grant, set_overseer
from lastword.service.sessions import new_link
from lastword.service.tenants import add_tenant
from lastword.web.app import create_app

#: Milliseconds that 95 of 100 answers may take at most.
BOUND_MS = 150.0

#: Statements that one answer may ask of the database.
MOST_STATEMENTS = 4

ORIGIN = "http://127.0.0.1:8000"

#: What people look at; `OLDER` is a page of the middle, found by going there.
PATHS = {
    "all runs": "/admin/operations",
    "needs attention": "/admin/operations?tab=attention",
    "active": "/admin/operations?tab=active",
    "one tenant": "/admin/operations?tenant_id=tenant-7",
    "one operation": f"/admin/operations?type={OPERATION}",
    "an operation without runs": "/admin/operations?type=nothing",
    "failed": "/admin/operations?outcome=failed",
    "reconciled": "/admin/operations?reconciled=true",
    "stale": "/admin/operations?freshness_state=likely_stale",
    "counts of the tabs": "/admin/operations/counts",
    "API": "/api/admin/operations?limit=50",
}


def measure_list_page(
    databases: Sequence[str], *, total: int, active: int, rounds: int
) -> Iterator[Row]:
    """The list over `total` runs, `active` of which have not ended, as a member sees it.

    Args:
        databases: what to measure on.
        total: runs in the ledger.
        active: those of them that are not completed.
        rounds: answers to each path.
    """
    for database in databases:
        with stand(database) as here, _signed_in(here) as client:
            fill(here, history=total - active, active=active)
            paths = {**PATHS, "an older page": _older(client)}
            for name, path in paths.items():
                found = _measured(client, path, rounds)
                label = f"list of {total:,} runs, {name}, {database}"
                yield row(label, "ms p95", runs=rounds, **found)


def _measured(client: TestClient, path: str, rounds: int) -> dict[str, Any]:
    # The first one warms caches, and lets PostgreSQL settle on a plan.
    answers = [_answer(client, path) for _ in range(rounds + 1)][1:]
    p95 = statistics.quantiles([took_ms for took_ms, _ in answers], n=20)[-1]
    statements = max(asked for _, asked in answers)
    return {
        "value": p95,
        "statements": statements,
        "bound": f"{BOUND_MS:g} ms, {MOST_STATEMENTS} statements",
        "within": p95 < BOUND_MS and statements <= MOST_STATEMENTS,
    }


def _answer(client: TestClient, path: str) -> tuple[float, int]:
    with _counted() as statements:
        began = time.perf_counter()
        answer = client.get(path)
        took_ms = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text
    return took_ms, len(statements)


@contextmanager
def _counted() -> Iterator[list[str]]:
    """What Peewee says that it asks the database meanwhile."""
    seen: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = str(record.msg)
            if "SELECT" in text or "UPDATE" in text or "INSERT" in text:
                seen.append(text)

    logger, handler = logging.getLogger("peewee"), Kept()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield seen
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def _signed_in(here: Stand) -> Iterator[TestClient]:
    add_tenant(here.ledger, tenant_id="tenant-7", name="Seven", workspace_id="workspace")
    add_user(here.ledger, user_id="ada", name="Ada")
    grant(here.ledger, user_id="ada", workspace_id="workspace", role=Role.OWNER)
    set_overseer(here.ledger, "ada", oversees=True)
    app = create_app(here.config, here.ledger, open_application=lambda: here.application)
    with TestClient(app, base_url=ORIGIN) as client:
        token = new_link(here.ledger, "ada")
        own = {"sec-fetch-site": "same-origin"}
        client.post("/admin/sign-in/link", data={"token": token}, headers=own)
        yield client


def _older(client: TestClient) -> str:
    """The page that is twenty pages down, or the last one."""
    path = "/admin/operations"
    for _ in range(20):
        found = re.search(r'rel="next" href="([^"]+)"', client.get(path).text)
        if found is None:
            break
        path = html.unescape(found[1])
    return path
