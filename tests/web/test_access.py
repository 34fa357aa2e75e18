"""Who may open what: every page by every role, in one's own workspace and in another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from lastword.access import CAPABILITIES, Capability, Role
from lastword.reading.audit import AuditFilter, list_audit
from lastword.service.members import disable_user, grant, revoke
from lastword.web.app import OWN_ENTRIES, entries_of
from lastword.web.guarding import Entry
from lastword.web.site import installed_surfaces
from tests.web.world import (
    FOREIGN,
    FOREIGN_TENANT,
    NAMES,
    OTHER_TENANT,
    OWN,
    OWN_TENANT,
    SAME_ORIGIN,
    World,
)

ENTRIES = entries_of(installed_surfaces())

#: What a page may answer to whoever may open it: it is there, or what was sent is refused.
OPENED = {200, 201, 303, 409, 422}

Ids = dict[str, str]


def ids_of(world: World, tenant: str, workspace: str) -> Ids:
    """A value for everything that a path may name."""
    run = world.run(tenant=tenant, workspace=workspace)
    return {"tenant": tenant, "run": run, "event": "1", **world.records(tenant)}


def path_of(entry: Entry, ids: Ids) -> str:
    path = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: ids.get(found[1], "nothing"), entry.path)
    return path.replace("packs/nothing", "packs/a.b")


def asked(world: World, entry: Entry, ids: Ids) -> int:
    was_in = bool(world.client.cookies)
    method = world.client.get if entry.method == "GET" else world.client.post
    answer = method(path_of(entry, ids), headers=SAME_ORIGIN, follow_redirects=False)
    to_sign_in = answer.status_code == 303 and "/sign-in" in answer.headers["location"]
    if to_sign_in and (entry.path != "/admin/sign-out" or not was_in):
        return 401
    if entry.method == "GET" and not entry.is_open:
        head = world.client.head(path_of(entry, ids), follow_redirects=False)
        assert (head.status_code, head.content) == (answer.status_code, b""), entry
    return int(answer.status_code)


def named(entry: Entry) -> set[str]:
    return set(re.findall(r"\{(\w+)", entry.path)) - {"event", "signed", "path"}


def guarded() -> list[Entry]:
    return [entry for entry in ENTRIES if not entry.is_open and "{path" not in entry.path]


#: Entries whose own code asks for a capability of the run that they find.
_OF_THE_RUN = {
    "/admin/operations/{run}/cancel": Capability.CANCEL,
    "/admin/operations/{run}/retry": Capability.SYNC,
}

#: Entries that are the same person's own, whoever that is.
_OWN_EVENT = "/admin/audit/{event:int}/panel"


def expected(entry: Entry, role: Role | None, *, in_scope: bool) -> set[int]:
    """What an entry has to answer to a member in this role; None: no member anywhere."""
    needs = _OF_THE_RUN.get(entry.path, entry.needs)
    if named(entry) and not in_scope:
        return {404}
    has = role is not None and (needs is None or needs in CAPABILITIES[role])
    if entry.path.endswith("/stream") and has:
        return {503}
    if needs is None or has:
        return OPENED | ({404} if entry.path == _OWN_EVENT else set())
    if not named(entry) and needs is Capability.VIEW:
        # A list of everything that somebody may see, if that is nothing: an empty one.
        return OPENED
    return {403}


def test_nobody_who_is_not_signed_in_opens_anything(world: World) -> None:
    ids = ids_of(world, OWN_TENANT, OWN)
    answers = {(entry.method, entry.path): asked(world, entry, ids) for entry in guarded()}
    assert set(answers.values()) == {401}


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_what_the_registry_gives_it_and_nothing_else(
    world: World, role: Role
) -> None:
    world.person("ada", role)
    own = ids_of(world, OWN_TENANT, OWN)
    foreign = ids_of(world, FOREIGN_TENANT, FOREIGN)
    # Of the own tenant's path, with the records of another.
    crossed = {**foreign, "tenant": OWN_TENANT}
    nowhere = dict.fromkeys(own, "nowhere") | {"event": "999999"}
    wrong = {}
    for entry in guarded():
        cases = {"own": (own, True), "foreign": (foreign, False), "nowhere": (nowhere, False)}
        if len(named(entry)) > 1:
            cases["crossed"] = (crossed, False)
        for case, (ids, in_scope) in cases.items():
            world.be("ada")
            got = asked(world, entry, ids)
            allowed = expected(entry, role, in_scope=in_scope)
            if case == "crossed" and expected(entry, role, in_scope=True) == {403}:
                allowed = {403}
            if got not in allowed:
                wrong[f"{entry.method} {entry.path} {case}"] = (got, sorted(allowed))
    assert wrong == {}


def test_who_is_no_member_finds_nothing(world: World) -> None:
    world.person("eve")
    ids = ids_of(world, OWN_TENANT, OWN)
    wrong = {}
    for entry in guarded():
        world.be("eve")
        got = asked(world, entry, ids)
        if got not in expected(entry, None, in_scope=False):
            wrong[f"{entry.method} {entry.path}"] = got
    assert wrong == {}


def test_a_member_of_some_tenants_sees_those_alone(world: World) -> None:
    world.person("ada", Role.OWNER, tenants=[OWN_TENANT])
    mine = world.run(tenant=OWN_TENANT)
    other = world.run(tenant=OTHER_TENANT)
    world.sign_in("ada")
    assert world.get(f"/admin/operations/{mine}").status_code == 200
    assert world.get(f"/admin/operations/{other}").status_code == 404
    assert world.get(f"/admin/t/{OTHER_TENANT}").status_code == 404
    listed = [run["id"] for run in world.get("/api/admin/operations").json()["runs"]]
    assert listed == [mine]


def test_the_answer_to_what_is_foreign_is_that_to_what_is_not_there(world: World) -> None:
    """Nobody can tell from it whether there is such a thing."""
    world.person("ada", Role.OWNER)
    foreign = ids_of(world, FOREIGN_TENANT, FOREIGN)
    world.sign_in("ada")
    for there, nowhere in (
        (f"/admin/operations/{foreign['run']}", "/admin/operations/nowhere"),
        (f"/admin/t/{FOREIGN_TENANT}/backups", "/admin/t/nowhere/backups"),
        (f"/api/admin/operations/{foreign['run']}", "/api/admin/operations/nowhere"),
    ):
        answers = [world.get(path) for path in (there, nowhere)]
        assert [answer.status_code for answer in answers] == [404, 404]
        # What differs at every request, and what was asked for.
        [first, second] = [
            re.sub(r'[\w-]{22}"|"request_id":"[\w-]+"', "", answer.text) for answer in answers
        ]
        assert first == second
        assert foreign["run"] not in first


def test_lists_counts_suggestions_exports_and_notifications_hold_nothing_foreign(
    world: World,
) -> None:
    world.person("ada", Role.OWNER)
    world.person("bob", Role.OWNER, workspace=FOREIGN)
    foreign = world.ended(
        tenant=FOREIGN_TENANT, workspace=FOREIGN, initiator_id="bob", initiator_name="Bob"
    )
    world.reconciled(tenant=FOREIGN_TENANT, workspace=FOREIGN)
    world.running(tenant=FOREIGN_TENANT, workspace=FOREIGN)
    world.sign_in("ada")
    for path in (
        "/admin/operations",
        "/admin/operations/rows",
        "/admin/operations/suggestions",
        f"/admin/operations?workspace_id={FOREIGN}",
        f"/admin/operations?tenant_id={FOREIGN_TENANT}",
        "/admin/operations?tab=attention",
        "/admin/audit",
        "/admin/audit/export",
        "/admin/notifications",
        "/admin/workers",
        "/admin/t",
        "/api/admin/operations",
    ):
        answer = world.get(path)
        assert answer.status_code == 200
        # What the filter itself says is no news.
        said = answer.text.replace(f"workspace_id={FOREIGN}", "")
        for secret in (foreign, "Bob", NAMES[FOREIGN_TENANT]):
            assert secret not in said, path
    counts = world.get("/admin/operations/counts").text
    assert re.findall(r'data-count="\w+">([^<]*)<', counts) == ["0", "0", "0"]


def test_a_role_that_is_taken_away_is_gone_at_the_next_request(world: World) -> None:
    world.person("ada", Role.MANAGER)
    run = world.run()
    world.sign_in("ada")
    assert world.get("/admin/audit").status_code == 200
    grant(world.ledger, user_id="ada", workspace_id=OWN, role=Role.VIEWER)
    assert world.get("/admin/audit").status_code == 403
    revoke(world.ledger, user_id="ada", workspace_id=OWN)
    assert world.get(f"/admin/operations/{run}").status_code == 404
    disable_user(world.ledger, "ada")
    assert world.get("/admin/operations").headers["location"].startswith("/admin/sign-in")


def test_an_overseer_sees_what_belongs_to_no_workspace_and_nothing_else(world: World) -> None:
    world.overseer("olga")
    own = world.run(tenant=None, workspace=None)
    other = world.run()
    world.sign_in("olga")
    assert world.get(f"/admin/operations/{own}").status_code == 200
    assert world.get(f"/admin/operations/{other}").status_code == 404
    assert [run["id"] for run in world.get("/api/admin/operations").json()["runs"]] == [own]


def test_what_was_denied_is_in_the_audit_log(world: World) -> None:
    world.person("ada", Role.VIEWER)
    run = world.run()
    world.sign_in("ada")
    assert world.post(f"/admin/operations/{run}/cancel", why="because").status_code == 403
    assert world.post("/admin/operations/nowhere/cancel", why="because").status_code == 404
    assert world.post(f"/admin/t/{OWN_TENANT}/backups/run").status_code == 403
    denied = list_audit(world.ledger, AuditFilter(result="denied"))
    assert [(entry["actor_id"], entry["target_id"], entry["reason"]) for entry in denied] == [
        ("ada", OWN_TENANT, "backup.run"),
        ("ada", "nowhere", "not_found"),
        ("ada", run, "operations.cancel"),
    ]
    assert all(entry["request_id"] for entry in denied)


def test_no_entry_is_open_that_is_not_meant_to_be() -> None:
    assert {entry.path for entry in ENTRIES if entry.is_open} == {
        "/admin/sign-in",
        "/admin/sign-in/link",
        "/admin/sign-in/oidc",
        "/admin/sign-in/oidc/callback",
        "/admin/packs/{signed}",
        "/api/openapi.json",
    }


def test_an_entry_that_says_nothing_asks_for_something() -> None:
    """Default deny: what somebody forgets to say is not open."""
    handler: Callable[..., object] = OWN_ENTRIES[0].handler
    bare = Entry("/admin/new", handler)  # type: ignore[arg-type]
    assert (bare.needs, bare.is_open) == (Capability.VIEW, False)
    assert replace(bare, method="POST").needs is Capability.VIEW
