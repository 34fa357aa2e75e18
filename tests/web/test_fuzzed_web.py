"""Whatever a browser, a program or an identity provider sends: an answer, never a broken page.

What parses here: `web.fields` (queries and forms), `web.run_queries` (filters and cursors),
`web.api` (bodies), `web.signing` (what was signed), `web.shield` and `web.identifying` (headers,
cookies, tokens), `web.oidc` (answers of a provider), `web.pages.audit` and `jobs.web` (numbers of
forms, links to packs).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastword.access import Role
from lastword.config import Config
from lastword.identity import new_run_id
from lastword.reading.members import list_members
from lastword.storage.ledger import Ledger
from lastword.times import to_iso
from lastword.web import oidc
from lastword.web.fields import BadInput, Fields
from lastword.web.run_queries import FILTERS, cursor_after, read_cursor, read_filter
from lastword.web.signing import Signer
from tests.fuzzing import fuzzed, json_bytes, nested, require_clear, texts, utf8, values
from tests.web.world import OWN_TENANT, SAME_ORIGIN, World, world_of

NAMES = st.one_of(
    st.sampled_from(
        [
            *(*FILTERS, "cursor", "limit", "tab", "period", "next", "token", "tenant_id"),
            *("name", "before", "reason", "user", "action", "since", "until", "q", "type"),
        ]
    ),
    utf8,
)
pairs = st.lists(st.tuples(NAMES, utf8), max_size=4)


@given(
    text=st.one_of(texts, pairs.map(lambda found: "&".join(f"{k}={quote(v)}" for k, v in found)))
)
@fuzzed(100, long=20_000)
def test_any_query_is_a_filter_or_names_the_field_that_is_wrong(text: str) -> None:
    try:
        fields = Fields.parsed(text)
        wanted = read_filter(fields, scopes=(), user_id="ada")
    except BadInput as error:
        require_clear(error)
    else:
        assert wanted.since_ms is None or 0 <= wanted.since_ms < 2**63


@given(text=texts, low=st.integers(0, 10), high=st.integers(11, 1000))
@example(text="0" * 19 + "59999999", low=1, high=200)
@fuzzed(60, long=10_000)
def test_any_number_is_within_its_bounds_or_refused(text: str, low: int, high: int) -> None:
    try:
        number = Fields([("limit", text)]).number("limit", low, high)
    except BadInput:
        return
    assert number is None or low <= number <= high


@given(moment=st.integers(0, 4_102_444_800_000))
@fuzzed(40, long=5000)
def test_a_cursor_that_was_given_leads_back_to_where_it_was(moment: int) -> None:
    run_id = new_run_id()
    cursor = cursor_after({"created_at": to_iso(moment), "id": run_id})
    assert read_cursor(Fields([("cursor", cursor)])) == (moment, run_id)


@given(text=texts, tampered=st.integers(0, 200), other=texts)
@example(text="a", tampered=0, other="\ud800.a")
@example(text="a", tampered=0, other="a.\ud800")
@fuzzed(60, long=10_000)
def test_only_what_was_signed_is_opened(text: str, tampered: int, other: str) -> None:
    signer = Signer(b"0123456789abcdef")
    plain = text.encode(errors="replace").decode()
    signed = signer.sign(plain)
    assert signer.opened(signed) == plain
    assert signer.opened(other) is None
    place = tampered % len(signed)
    changed = "A" if signed[place] != "A" else "B"
    opened = signer.opened(signed[:place] + changed + signed[place + 1 :])
    # The last character of a signature holds four bits that mean nothing.
    assert opened is None or place == len(signed) - 1


@pytest.fixture
def asked(world: World) -> World:
    world.person("ada", Role.OWNER)
    world.sign_in("ada")
    for _ in range(3):
        world.run()
    world.records(OWN_TENANT)
    return world


GETS = st.sampled_from(
    [
        *("/admin/operations", "/admin/operations/rows", "/admin/operations/suggestions"),
        *("/admin/audit", "/admin/audit/export", "/admin/workers", "/admin/sign-in"),
        *("/admin/notifications", "/api/admin/operations", "/admin/packs/x", "/admin/t"),
        *(f"/admin/t/{OWN_TENANT}/{page}" for page in ("backups", "inventory", "restores")),
        *(f"/admin/t/{OWN_TENANT}/{page}" for page in ("baselines", "directory", "reviews")),
        *("/admin/operations/{}", "/api/admin/operations/{}", "/admin/t/{}", "/admin/packs/{}"),
        *("/admin/audit/{}/panel", "/admin/operations/{}/live", "/{}", "/admin/t/{}/backups"),
    ]
)
header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("cookie", "authorization", "hx-request", "hx-ptag", "accept", "content-type"),
            *("x-forwarded-user", "traceparent", "origin", "referer", "sec-fetch-site"),
        ]
    ),
    header_texts,
    max_size=2,
)


def require_answer(answer: Any) -> None:
    # 503 says that there is no broker here, which is so.
    assert answer.status_code < 500 or answer.status_code == 503, answer.request.url
    if answer.request.url.path.startswith("/api/") and answer.status_code >= 400:
        error = answer.json()["error"]
        assert {"code", "message", "request_id"} <= set(error)


def sent(world: World, method: str, path: str, **more: Any) -> Any:
    raw = {key: value.encode("latin-1") for key, value in more.pop("headers", {}).items()}
    return world.client.request(method, path, headers=raw, follow_redirects=False, **more)


@given(path=GETS, name=utf8, query=pairs, headers=HEADERS)
@fuzzed(120, long=5000)
def test_any_page_that_is_asked_for_in_any_way_answers(
    asked: World, path: str, name: str, query: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    place = path.replace("{}", quote(name, safe="") or "x")
    require_answer(sent(asked, "GET", place[:2000], params=query, headers=headers))


POSTS = st.sampled_from(
    [
        *("/admin/operations/views", "/admin/operations/views/remove", "/admin/account/tokens"),
        *("/admin/account/tokens/revoke", "/admin/sign-in/link", "/admin/sign-in"),
        *("/admin/notifications/read", "/admin/operations/{}/cancel", "/admin/operations/{}/retry"),
        *(f"/admin/t/{OWN_TENANT}/backups/schedules", f"/admin/t/{OWN_TENANT}/connection"),
        *(f"/admin/t/{OWN_TENANT}/backups/schedules/change", f"/admin/t/{OWN_TENANT}/restores"),
        *(f"/admin/t/{OWN_TENANT}/baselines/profiles", f"/admin/t/{OWN_TENANT}/packs/{{}}/link"),
        *(f"/admin/t/{OWN_TENANT}/inventory/policy", f"/admin/t/{OWN_TENANT}/reviews/compose"),
    ]
)


@given(
    path=POSTS, name=utf8, form=st.one_of(pairs.map(dict), st.binary(max_size=60)), headers=HEADERS
)
@fuzzed(100, long=5000)
def test_any_form_is_taken_or_refused(
    asked: World, path: str, name: str, form: Any, headers: dict[str, str]
) -> None:
    asked.be("ada")
    place = path.replace("{}", quote(name, safe="") or "x")
    content = {"data": form} if isinstance(form, dict) else {"content": form}
    require_answer(sent(asked, "POST", place[:2000], headers={**SAME_ORIGIN, **headers}, **content))


@given(
    body=st.one_of(
        json_bytes,
        values.map(lambda inputs: json.dumps({"type": "policy.sync", "inputs": inputs}).encode()),
    )
)
@example(body=b'{"type": "policy.sync", "inputs": {"a": ' + nested(850).encode() + b"}}")
@fuzzed(100, long=10_000)
def test_any_body_starts_a_run_or_is_refused(asked: World, body: bytes) -> None:
    asked.be("ada")
    kind = {"content-type": "application/json", **SAME_ORIGIN}
    require_answer(sent(asked, "POST", "/api/admin/operations", headers=kind, content=body))


def test_a_provider_whose_tokens_cannot_be_had_is_said(strange: World) -> None:
    nobody = "http://127.0.0.1:1/token"
    found = json.dumps({**DISCOVERY, "token_endpoint": nobody}).encode()

    def answer(transport: object, request: httpx.Request) -> httpx.Response:
        del transport, request
        return httpx.Response(200, content=found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", answer)
        begun = strange.get("/admin/sign-in/oidc")
    state = httpx.URL(begun.headers["location"]).params["state"]
    ended = strange.get(f"/admin/sign-in/oidc/callback?code=c&state={state}")
    assert (ended.status_code, "cannot be believed" in ended.text) == (409, True)


# The identity provider

ISSUER = "https://identity.test"


@pytest.fixture
def strange(sqlite_ledger: Ledger, web_config: Config) -> Iterator[World]:
    """A web whose identity provider answers what a test says."""
    config = replace(web_config, web_auth=("oidc",), oidc_issuer=ISSUER, oidc_client_id="lastword")
    with world_of(sqlite_ledger, config) as world:
        yield world
    oidc._discovered.cache_clear()


DISCOVERY = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


@given(
    discovery=st.one_of(
        json_bytes,
        st.dictionaries(st.sampled_from(sorted(DISCOVERY)), values, max_size=2).map(
            lambda lies: json.dumps({**DISCOVERY, **lies}).encode()
        ),
    ),
    token=st.one_of(
        json_bytes,
        values.map(lambda token: json.dumps({"access_token": "a", "id_token": token}).encode()),
    ),
    keys=st.one_of(json_bytes, values.map(lambda keys: json.dumps({"keys": keys}).encode())),
    state=st.one_of(st.none(), utf8),
    status=st.sampled_from([200, 200, 200, 400, 500]),
)
@example(discovery=b"[]", token=b"{}", keys=b"{}", state=None, status=200)
@example(
    discovery=json.dumps({"issuer": ISSUER}).encode(), token=b"", keys=b"", state=None, status=200
)
@example(discovery=json.dumps(DISCOVERY).encode(), token=b"{}", keys=b"{}", state="é", status=200)
@fuzzed(40, long=5000)
def test_any_provider_signs_nobody_in_who_is_not_known_to_it(
    strange: World,
    discovery: bytes,
    token: bytes,
    keys: bytes,
    state: str | None,
    status: int,
) -> None:
    oidc._discovered.cache_clear()
    answers = {"/token": token, "/keys": keys}

    def answer(response: Any) -> Any:
        def handle(transport: object, request: Any) -> Any:
            del transport
            request.read()
            content = answers.get(request.url.path, discovery)
            headers = {"content-type": "application/json"}
            return response(status, content=content, headers=headers)

        return handle

    with pytest.MonkeyPatch.context() as patch:
        # Discovery goes through the one, the token through the other.
        patch.setattr(httpx.HTTPTransport, "handle_request", answer(httpx.Response))
        patch.setattr(httpx2.HTTPTransport, "handle_request", answer(httpx2.Response))
        begun = strange.get("/admin/sign-in/oidc")
        require_answer(begun)
        if begun.status_code == 303:
            sent_state = httpx.URL(begun.headers["location"]).params.get("state", "")
            query = {"code": "c", "state": sent_state if state is None else state}
            ended = sent(strange, "GET", "/admin/sign-in/oidc/callback", params=query)
            require_answer(ended)
            assert ended.status_code in (409, 422)
    assert list_members(strange.ledger) == []
