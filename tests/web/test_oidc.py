"""Signing in through an identity provider, over HTTP, with one that may also lie."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from lastword.access import Role
from lastword.config import Config
from lastword.reading.members import list_members
from lastword.service.members import disable_user, grant
from lastword.storage.ledger import Ledger
from lastword.web import oidc
from tests.processes import free_port
from tests.web.serving import serving
from tests.web.world import OWN, World, world_of

CLIENT_ID, CLIENT_SECRET = "lastword", secrets.token_urlsafe(16)


@dataclass
class Provider:
    """An identity provider with one person, whom it lets in at once.

    Attributes:
        lies: claims of the next token that are not as they have to be.
        key: what it signs with.
        asked: the authorisations that wait for their code to be used.
    """

    issuer: str
    lies: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048))
    stranger: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048))
    signs_as_stranger: bool = False
    asked: dict[str, dict[str, str]] = field(default_factory=dict)

    def discovery(self, request: Request) -> Response:
        del request
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
        found = {name: f"{self.issuer}/{path}" for name, path in paths.items()}
        return JSONResponse({**found, "issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})

    def keys(self, request: Request) -> Response:
        del request
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(12)
        self.asked[code] = query
        return RedirectResponse(f"{query['redirect_uri']}?code={code}&state={query['state']}", 303)

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        basic = base64.b64decode(request.headers["authorization"].split()[1]).decode()
        assert basic == f"{CLIENT_ID}:{CLIENT_SECRET}"
        query = self.asked.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != query["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "248289761001",
            "name": "Grace Hopper",
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **self.lies,
        }
        key = self.stranger if self.signs_as_stranger else self.key
        claims = {name: value for name, value in claims.items() if value is not None}
        signed = jwt.encode({"alg": "RS256"}, claims, key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery),
                Route("/keys", self.keys),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
            ]
        )


@pytest.fixture
def provider() -> Iterator[Provider]:
    port = free_port()
    made = Provider(f"http://127.0.0.1:{port}")
    with serving(made.app(), port):
        yield made
    oidc._discovered.cache_clear()


@pytest.fixture
def web(sqlite_ledger: Ledger, web_config: Config, provider: Provider) -> Iterator[World]:
    config = replace(
        web_config,
        web_auth=("oidc",),
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
    )
    with world_of(sqlite_ledger, config) as world:
        yield world


def returned(world: World, path: str = "/admin/sign-in/oidc") -> str:
    """Where the provider sends the browser back to."""
    there = world.get(path).headers["location"]
    assert "code_challenge=" in there
    return str(httpx.get(there, follow_redirects=False).headers["location"])


def came_back(world: World, where: str) -> Any:
    parts = urlsplit(where)
    return world.get(f"{parts.path}?{parts.query}")


def test_a_person_whom_the_provider_knows_is_signed_in_and_may_do_nothing_yet(web: World) -> None:
    answer = came_back(web, returned(web, "/admin/sign-in/oidc?next=/admin/workers"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/workers")
    page = web.get("/admin/account").text
    assert "Grace Hopper" in page
    assert "You are a member of no workspace" in web.get("/admin/operations").text
    [person] = list_members(web.ledger)
    grant(web.ledger, user_id=person["user_id"], workspace_id=OWN, role=Role.VIEWER)
    run = web.run()
    assert web.get(f"/admin/operations/{run}").status_code == 200
    # The same person the next time, by issuer and subject.
    web.sign_out()
    came_back(web, returned(web))
    assert web.get(f"/admin/operations/{run}").status_code == 200
    assert len(list_members(web.ledger)) == 1
    disable_user(web.ledger, person["user_id"])
    web.sign_out()
    refused = came_back(web, returned(web))
    assert (refused.status_code, "may not sign in here any more" in refused.text) == (409, True)


@pytest.mark.parametrize(
    "lies",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "http://127.0.0.1:1"},
        {"aud": "another-client"},
        {"exp": 1},
        {"sub": None},
    ],
    ids=str,
)
def test_a_token_that_is_not_as_it_has_to_be_signs_nobody_in(
    web: World, provider: Provider, lies: dict[str, Any]
) -> None:
    provider.lies = lies
    answer = came_back(web, returned(web))
    assert (answer.status_code, "cannot be believed" in answer.text) == (409, True)
    assert list_members(web.ledger) == []
    assert web.get("/admin/account").status_code == 303


def test_a_token_that_somebody_else_signed_signs_nobody_in(web: World, provider: Provider) -> None:
    provider.signs_as_stranger = True
    assert came_back(web, returned(web)).status_code == 409
    assert list_members(web.ledger) == []


def test_an_answer_counts_in_the_browser_that_asked_and_for_that_attempt(web: World) -> None:
    where = returned(web)
    web.sign_out()
    elsewhere = came_back(web, where)
    assert (elsewhere.status_code, "another browser" in elsewhere.text) == (409, True)
    first, second = returned(web), returned(web)
    assert parse_qs(urlsplit(first).query)["state"] != parse_qs(urlsplit(second).query)["state"]
    mixed = came_back(web, first)
    assert (mixed.status_code, "belongs to another attempt" in mixed.text) == (409, True)
    denied = web.get(f"/admin/sign-in/oidc/callback?error=x&state={_state(second)}")
    assert (denied.status_code, "did not let you in" in denied.text) == (409, True)
    assert list_members(web.ledger) == []


def test_a_provider_that_is_away_or_is_another_one_is_said(
    sqlite_ledger: Ledger, web_config: Config, provider: Provider
) -> None:
    config = replace(web_config, web_auth=("oidc",), oidc_client_id=CLIENT_ID)
    for issuer, said in (
        (f"http://127.0.0.1:{free_port()}", "does not answer"),
        (provider.issuer + "/", "calls itself something else"),
    ):
        with world_of(sqlite_ledger, replace(config, oidc_issuer=issuer)) as world:
            answer = world.get("/admin/sign-in/oidc")
            assert (answer.status_code, said in answer.text) == (409, True)


def test_where_it_is_switched_off_there_is_nothing(world: World) -> None:
    for path in ("/admin/sign-in/oidc", "/admin/sign-in/oidc/callback?code=a&state=b"):
        assert world.get(path).status_code == 404


def _state(where: str) -> str:
    return parse_qs(urlsplit(where).query)["state"][0]
