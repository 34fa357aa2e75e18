"""What the web does when something else does not: pages without broker, ledger or right."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from lastword.access import Role
from lastword.service.audit import SYSTEM, Entry, write_audit
from lastword.service.members import grant
from lastword.service.sessions import new_link
from lastword.web.app import create_app
from tests.processes import free_port
from tests.web.serving import serving
from tests.web.test_access import ENTRIES, ids_of, path_of
from tests.web.world import OWN, OWN_TENANT, SAME_ORIGIN, World, no_application

#: What is no page: everything else, and a stream.
_NO_PAGE = re.compile(r"\{path|/stream$")


def test_every_page_opens_with_nothing_but_the_ledger(both: World) -> None:
    """No broker listens where the configuration says, and no provider."""
    both.person("ada", Role.OWNER)
    both.overseer("ada")
    both.sign_in("ada")
    for make in (both.ended, both.reconciled, both.blocked, both.running, both.run):
        make(initiator_id="ada")
    ids = ids_of(both, OWN_TENANT, OWN)
    got = {}
    for entry in ENTRIES:
        if entry.method == "GET" and not entry.is_open and not _NO_PAGE.search(entry.path):
            got[entry.path] = both.get(path_of(entry, ids)).status_code
    assert {path: status for path, status in got.items() if status != 200} == {}
    assert len(got) > 25


def test_a_database_that_is_away_is_a_page_that_says_so_and_nothing_of_itself(
    world: World, tmp_path: Path
) -> None:
    world.person("ada", Role.OWNER)
    world.sign_in("ada")
    with world.ledger.transaction():
        world.ledger.execute("ALTER TABLE lastword_run RENAME TO hidden_run")
    page = world.get("/admin/operations")
    assert page.status_code in (500, 503)
    for secret in ("lastword_run", "sqlite", str(tmp_path), "Traceback"):
        assert secret not in page.text
    answer = world.get("/api/admin/operations")
    assert answer.status_code in (500, 503)
    assert "lastword_run" not in answer.text
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


def test_what_nobody_foresaw_names_its_request_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.person("ada", Role.OWNER)
    world.sign_in("ada")
    with world.ledger.transaction():
        world.ledger.execute("UPDATE lastword_run SET context = '{'")
        run = world.run()
        world.ledger.execute("UPDATE lastword_run SET context = '{'")
    page = world.get(f"/admin/operations/{run}")
    assert page.status_code == 500
    assert page.headers["x-request-id"] in page.text
    assert "JSONDecodeError" not in page.text
    assert page.headers["x-request-id"] in caplog.text


def test_an_export_ends_when_the_right_to_it_does(world: World) -> None:
    """A stream asks anew at each of its pages. Over a real socket: what is sent is sent."""
    world.person("ada", Role.OWNER)
    line = Entry("run.cancel", "run", "r", workspace_id=OWN, tenant_id=OWN_TENANT)
    for _ in range(40):
        write_audit(world.ledger, SYSTEM, [line] * 1000)
    port = free_port()
    app = create_app(world.config, world.ledger, open_application=no_application)
    with serving(app, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        token = new_link(world.ledger, "ada")
        client.post("/admin/sign-in/link", data={"token": token}, headers=SAME_ORIGIN)
        lines = 0
        with client.stream("GET", "/admin/audit/export") as answer:
            for _ in answer.iter_lines():
                lines += 1
                if lines == 1:
                    grant(world.ledger, user_id="ada", workspace_id=OWN, role=Role.VIEWER)
    assert 100 <= lines < 40_000
