"""Server-sent events of a run, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from lastword.access import Role
from lastword.identity import RunId
from lastword.service import RunService
from lastword.service.members import grant, revoke
from lastword.service.sessions import new_link
from lastword.web.app import create_app
from tests.processes import free_port
from tests.support import until
from tests.web.serving import serving
from tests.web.world import FOREIGN, FOREIGN_TENANT, OWN, SAME_ORIGIN, World, no_application


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    """Ada's browser at a real server."""
    world.person("ada", Role.OWNER)
    port = free_port()
    app = create_app(world.config, world.ledger, open_application=no_application)
    with serving(app, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as made:
        form = {"token": new_link(world.ledger, "ada")}
        made.post("/admin/sign-in/link", data=form, headers=SAME_ORIGIN)
        made.headers["x-test"] = "1"
        yield made
        until(lambda: app.state.site.streams.open == 0, what="every stream to be closed")


@contextmanager
def events(client: httpx.Client, run: str) -> Iterator[Iterator[str]]:
    """The names of the events of a run, as they come."""
    with client.stream("GET", f"/admin/operations/{run}/stream", timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        yield (line.removeprefix("event: ") for line in lines if line.startswith("event: "))


def test_each_change_of_a_run_is_told(world: World, client: httpx.Client) -> None:
    run = world.run()
    with events(client, run) as seen:
        assert next(seen) == "changed"
        RunService(world.ledger).cancel([RunId(run)], by="Bob")
        assert next(seen) == "changed"


@pytest.mark.parametrize("how", ["sign out", "role"])
def test_a_stream_ends_with_the_right_to_it(world: World, client: httpx.Client, how: str) -> None:
    run = world.run()
    with events(client, run) as seen:
        assert next(seen) == "changed"
        if how == "role":
            grant(world.ledger, user_id="ada", workspace_id=FOREIGN, role=Role.OWNER)
            revoke(world.ledger, user_id="ada", workspace_id=OWN)
        else:
            with world.ledger.transaction():
                world.ledger.execute("UPDATE lastword_session SET ended_at = seen_at")
        assert next(seen) == "over"
        assert list(seen) == []


def test_nobody_listens_to_what_is_not_theirs(world: World, client: httpx.Client) -> None:
    foreign = world.run(tenant=FOREIGN_TENANT, workspace=FOREIGN)
    for run in (foreign, "nowhere"):
        assert client.get(f"/admin/operations/{run}/stream").status_code == 404


def test_whoever_comes_when_too_many_listen_is_sent_away(world: World) -> None:
    world.person("ada", Role.OWNER)
    world.sign_in("ada")
    run = world.run()
    answer = world.get(f"/admin/operations/{run}/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
