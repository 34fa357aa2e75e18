"""What stands before every page: headers, whose form it is, whose host, and no change by a GET."""

from __future__ import annotations

import pytest

from lastword.access import Role
from tests.web.test_access import ENTRIES, ids_of, path_of
from tests.web.world import (
    ORIGIN,
    OWN,
    OWN_TENANT,
    World,
)


def test_every_answer_has_the_headers_that_protect_it(world: World) -> None:
    world.person("ada", Role.OWNER)
    ids = ids_of(world, OWN_TENANT, OWN)
    plain = ["/", "/admin", "/healthz", "/static/nothing.js", "/nowhere", "/csp-report"]
    paths = [path_of(entry, ids) for entry in ENTRIES if entry.method == "GET"] + plain
    for path in paths:
        world.be("ada")
        headers = world.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self' 'nonce-")
        for rule in (
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "require-trusted-types-for 'script'",
        ):
            assert rule in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert headers["cache-control"] == "no-store", path
        assert "server" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "https://127.0.0.1:8000"},
        {"origin": "null"},
        {"origin": "http://evil.example"},
    ],
)
def test_a_form_of_another_site_does_nothing(world: World, headers: dict[str, str]) -> None:
    world.person("ada", Role.OWNER)
    run = world.run()
    world.sign_in("ada")
    form = {"why": "because"}
    path = f"/admin/operations/{run}/cancel"
    assert world.client.post(path, data=form, headers=headers).status_code == 403
    assert world.scene.row(run)["status"] == "queued"
    own = world.client.post(path, data=form, headers={"origin": ORIGIN}, follow_redirects=False)
    assert own.status_code == 303
    assert world.scene.row(run)["outcome"] == "cancelled"


def test_another_name_of_this_host_is_refused(world: World) -> None:
    """A name that somebody else's DNS points here makes their page ours to the browser."""
    world.person("ada", Role.OWNER)
    world.sign_in("ada")
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""):
        assert world.get("/admin/operations", host=host).status_code == 403
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000"):
        assert world.get("/admin/operations", host=host).status_code == 200
    # A probe asks by whatever name it has.
    assert world.get("/healthz", host="10.1.2.3").status_code == 200
    assert world.get("/admin/operations/healthz", host="10.1.2.3").status_code == 403


def test_what_changes_something_is_never_done_by_a_get(world: World) -> None:
    world.person("ada", Role.OWNER)
    ids = ids_of(world, OWN_TENANT, OWN)
    paths = {path_of(entry, ids) for entry in ENTRIES if entry.method == "GET"}
    for entry in ENTRIES:
        path = path_of(entry, ids)
        if entry.method == "POST" and path not in paths and "{path" not in entry.path:
            world.be("ada")
            assert world.get(path).status_code in (404, 405), path
