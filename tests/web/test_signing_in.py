"""Signing in: by password, by link, by a trusted proxy; and how sessions end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lastword.access import Role
from lastword.config import Config
from lastword.errors import ConfigError
from lastword.reading.audit import AuditFilter, list_audit
from lastword.service.audit import SYSTEM
from lastword.service.members import disable_user
from lastword.service.sessions import new_link
from lastword.service.sign_in import set_password_hash
from lastword.storage.ledger import Ledger
from lastword.web.pages.sign_in import MOST_FAILURES_OF_A_NAME, local_path
from lastword.web.passwords import hash_password, is_password
from lastword.web.site import require_closed
from tests.web.world import World, world_of

PASSWORD = "correct horse battery"


def with_password(world: World, name: str = "ada") -> None:
    world.person(name, Role.VIEWER)
    assert set_password_hash(world.ledger, name, hash_password(PASSWORD), actor=SYSTEM)


def is_in(world: World) -> bool:
    return bool(world.get("/admin/operations").status_code == 200)


def test_the_right_password_opens_a_session_that_ends_with_signing_out(world: World) -> None:
    with_password(world)
    answer = world.post("/admin/sign-in", user="ada", password=PASSWORD, next="/admin/workers")
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/workers")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert is_in(world)
    kept = world.client.cookies["lastword"]
    assert world.post("/admin/sign-out").status_code == 303
    # Not only forgotten by the browser: whoever kept it cannot use it.
    world.client.cookies.set("lastword", kept)
    assert not is_in(world)


def test_a_session_over_tls_is_bound_to_the_host(sqlite_ledger: Ledger, web_config: Config) -> None:
    config = replace(web_config, web_url="https://lastword.example.org", web_addr="0.0.0.0:8000")
    with world_of(sqlite_ledger, config) as world:
        world.person("ada", Role.VIEWER)
        world.client.base_url = "https://lastword.example.org"
        token = new_link(world.ledger, "ada")
        answer = world.post("/admin/sign-in/link", token=token)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-lastword=")
        assert "Secure" in cookie
        assert "Domain" not in cookie
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert is_in(world)


@pytest.mark.parametrize(
    ("user", "password"),
    [("ada", "wrong horse battery"), ("nobody", PASSWORD), ("ada", PASSWORD + "x")],
)
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    world: World, user: str, password: str
) -> None:
    with_password(world)
    answer = world.post("/admin/sign-in", user=user, password=password)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert not is_in(world)
    [denied] = list_audit(world.ledger, AuditFilter(result="denied"))
    assert (denied["action"], denied["target_id"]) == ("session.open", user)


def test_after_some_failures_even_the_right_password_has_to_wait(world: World) -> None:
    with_password(world)
    with_password(world, "bob")
    for _ in range(MOST_FAILURES_OF_A_NAME):
        world.post("/admin/sign-in", user="ada", password="wrong horse battery")
    answer = world.post("/admin/sign-in", user="ada", password=PASSWORD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "900")
    assert not is_in(world)
    # One name's failures are not another's.
    assert world.post("/admin/sign-in", user="bob", password=PASSWORD).status_code == 303
    world.sign_out()
    with world.ledger.transaction():
        world.ledger.execute("UPDATE lastword_sign_in_failure SET at = at - 900001")
    assert world.post("/admin/sign-in", user="ada", password=PASSWORD).status_code == 303


def test_whoever_is_disabled_has_no_password_and_no_session(world: World) -> None:
    with_password(world)
    world.post("/admin/sign-in", user="ada", password=PASSWORD)
    disable_user(world.ledger, "ada")
    assert not is_in(world)
    assert world.post("/admin/sign-in", user="ada", password=PASSWORD).status_code == 401


def test_a_link_works_once_and_not_for_ever(world: World) -> None:
    world.person("ada", Role.VIEWER)
    token = new_link(world.ledger, "ada")
    # Looking at it uses nothing up.
    for _ in range(2):
        assert world.get(f"/admin/sign-in/link?token={token}").status_code == 200
    assert world.post("/admin/sign-in/link", token=token).status_code == 303
    assert is_in(world)
    world.sign_out()
    again = world.post("/admin/sign-in/link", token=token)
    assert (again.status_code, is_in(world)) == (403, False)
    late = new_link(world.ledger, "ada", lifetime_s=-1)
    assert world.post("/admin/sign-in/link", token=late).status_code == 403
    assert world.post("/admin/sign-in/link", token="nothing").status_code == 403


@pytest.mark.parametrize("column", ["seen_at", "expires_at"])
def test_a_session_ends_when_it_was_idle_and_when_it_was_long(world: World, column: str) -> None:
    world.person("ada", Role.VIEWER)
    world.sign_in("ada")
    assert is_in(world)
    passed = world.config.session_idle if column == "seen_at" else world.config.session_lifetime
    with world.ledger.transaction():
        world.ledger.execute(
            f"UPDATE lastword_session SET {column} = {column} - {passed * 1000:.0f}"
        )
    assert not is_in(world)


def test_a_request_keeps_a_session_from_being_idle(world: World) -> None:
    world.person("ada", Role.VIEWER)
    world.sign_in("ada")
    with world.ledger.transaction():
        world.ledger.execute("UPDATE lastword_session SET seen_at = seen_at - 120000")
        [before] = world.ledger.execute("SELECT seen_at FROM lastword_session")
    assert is_in(world)
    with world.ledger.session():
        [after] = world.ledger.execute("SELECT seen_at FROM lastword_session")
    assert after["seen_at"] - before["seen_at"] >= 120000


def test_signing_in_anew_ends_the_session_of_before(world: World) -> None:
    world.person("ada", Role.VIEWER)
    world.sign_in("ada")
    old = world.client.cookies["lastword"]
    world.post("/admin/sign-in/link", token=new_link(world.ledger, "ada"))
    assert world.client.cookies["lastword"] != old
    world.sign_out()
    world.client.cookies.set("lastword", old)
    assert not is_in(world)


def test_somebody_ends_sessions_of_their_own_and_of_nobody_else(world: World) -> None:
    world.person("ada", Role.VIEWER)
    world.person("eve", Role.OWNER)
    world.sign_in("ada")
    with world.ledger.session():
        [session] = world.ledger.execute("SELECT id FROM lastword_session")
    cookie = world.client.cookies["lastword"]
    world.sign_in("eve")
    assert world.post("/admin/account/sessions/end", session=session["id"]).status_code == 404
    world.sign_out()
    world.client.cookies.set("lastword", cookie)
    assert is_in(world)
    assert world.post("/admin/account/sessions/end", session=session["id"]).status_code == 303
    assert not is_in(world)


def test_no_token_is_kept_in_the_ledger(world: World) -> None:
    world.person("ada", Role.OWNER)
    link = new_link(world.ledger, "ada")
    world.sign_in("ada")
    page = world.post("/admin/account/tokens", name="script", days="7", scope="operations.view")
    assert page.status_code == 200
    [token] = [word for word in page.text.split("<code>") if word.startswith("lw_")]
    secrets = [link, world.client.cookies["lastword"], token.partition("<")[0]]
    # Written down whole: the file and its log.
    database = Path(str(world.ledger.database.database))
    kept = b"".join(
        file.read_bytes() for file in database.parent.glob(f"{database.name}*") if file.is_file()
    )
    assert [secret for secret in secrets if secret.encode() in kept] == []


@pytest.mark.parametrize(
    ("asked", "goes"),
    [
        ("/admin/audit?event=3", "/admin/audit?event=3"),
        ("//evil.example/admin", "/admin/operations"),
        ("https://evil.example/admin", "/admin/operations"),
        ("/admin\\evil.example", "/admin/operations"),
        ("/elsewhere", "/admin/operations"),
        ("javascript:alert(1)", "/admin/operations"),
        (None, "/admin/operations"),
    ],
)
def test_after_signing_in_one_stays_here(asked: str | None, goes: str) -> None:
    assert local_path(asked) == goes


def proxied(config: Config, *networks: str) -> Config:
    return replace(config, web_auth=("proxy",), proxy_networks=networks)


def test_the_word_of_a_trusted_proxy_counts_and_of_nobody_else(
    sqlite_ledger: Ledger, web_config: Config
) -> None:
    with world_of(sqlite_ledger, proxied(web_config, "192.0.2.0/24", "2001:db8::/32")) as world:
        world.person("ada", Role.VIEWER)
        transport: Any = world.client._transport
        for peer, is_known in (
            ("192.0.2.7", True),
            ("2001:db8::7", True),
            ("192.0.3.7", False),
            ("testclient", False),
        ):
            transport.client = (peer, 50000)
            answer = world.get("/admin/operations", **{"x-forwarded-user": "ada"})
            assert (answer.status_code == 200) is is_known, peer
            stranger = world.get("/admin/operations", **{"x-forwarded-user": "nobody"})
            assert stranger.status_code == 303
            forged = world.get("/admin/operations", **{"x-forwarded-for": "192.0.2.7"})
            assert forged.status_code == 303


def test_a_web_that_strangers_reach_does_not_start_without_a_way_to_sign_in(
    web_config: Config,
) -> None:
    open_to_all = replace(web_config, web_addr="0.0.0.0:8000", web_auth=(), web_url="")
    with pytest.raises(ConfigError, match=r"web_auth is empty.*web_url is empty") as caught:
        require_closed(open_to_all)
    assert "127.0.0.1" in caught.value.mend
    named = replace(open_to_all, web_url="https://lastword.example.org", web_auth=("password",))
    require_closed(named)
    require_closed(replace(open_to_all, web_addr="127.0.0.1:8000"))
    with pytest.raises(ConfigError, match="proxy_networks is empty"):
        require_closed(replace(named, web_auth=("proxy",)))
    with pytest.raises(ConfigError, match="oidc_issuer"):
        require_closed(replace(named, web_auth=("oidc",)))


def test_a_password_is_hashed_with_argon2id_and_bounded() -> None:
    hashed = hash_password(PASSWORD)
    assert hashed.startswith("$argon2id$")
    assert is_password(hashed, PASSWORD)
    assert not is_password(hashed, PASSWORD + "x")
    assert not is_password(None, PASSWORD)
    assert not is_password("nonsense", PASSWORD)
    for bad in ("short", "x" * 201):
        with pytest.raises(Exception, match="characters; expected 12 to 200"):
            hash_password(bad)
