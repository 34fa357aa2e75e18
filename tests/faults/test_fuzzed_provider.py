"""Whatever the provider answers: what was asked for, or one failure with its reason.

What parses here: in `graph`, `exchanges` (answers and parts of a batch), `waiting` (Retry-After and
dates), `wire` (links to the next page, shares of limits), `tokens`, `client` (pages); in
`content`, `documents` and `normalising` (policies as they were read and kept); `provider.sealing`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lastword.config import Config
from lastword.reasons import RunFailure
from lastword_jobs.content.documents import Captured, Content, MalformedContent, Names
from lastword_jobs.content.normalising import normalise
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.exchanges import Ask, Reply
from lastword_jobs.graph.limits import Limits
from lastword_jobs.graph.tokens import Credentials, TokenCache
from lastword_jobs.graph.waiting import retry_after_s
from lastword_jobs.graph.wire import Wire
from lastword_jobs.provider.sealing import Sealer, Unsealable
from tests.fuzzing import (
    fuzzed,
    json_bytes,
    nested,
    require_said,
    require_told,
    texts,
    utf8,
    values,
)

BASE = "https://graph.test"
LISTING = "v1.0/deviceManagement/deviceConfigurations"
TENANT = "fuzzed"


class Unlimited(Limits):
    """Limits that nothing is held to: what is asked here goes nowhere."""

    def __init__(self) -> None:
        pass

    def await_turn(self, *args: Any, **more: Any) -> None:
        del args, more

    def most_at_once(self, workload: Any) -> int:
        del workload
        return 20


@contextmanager
def client_of(answers: Iterator[httpx.Response], token: bytes = b"") -> Iterator[GraphClient]:
    """A client of a provider that gives these answers, and after them nothing but 500."""
    good = token or json.dumps({"access_token": "t", "expires_in": 3600}).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(200, content=good)
        return next(answers, httpx.Response(500))

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        tokens = TokenCache(http, BASE, BASE, lambda _: Credentials("id", "secret"))
        wire = Wire(http, BASE, TENANT, "run", Unlimited(), sleep=lambda _: None)
        yield GraphClient(wire, tokens)


headers = st.dictionaries(
    st.sampled_from(
        ["retry-after", "date", "request-id", "x-ms-throttle-limit-percentage", "content-type"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)
    | st.sampled_from(["nan", "inf", "-1", "1e999", "0.9", "Mon, 01 Jan 99999 00:00:00 GMT"]),
    max_size=3,
)
links = st.one_of(
    utf8,
    st.sampled_from(["http://[::1", f"{BASE}/\0", f"{BASE}/{'a' * 70_000}", f"{BASE}/x y", "//"]),
    utf8.map(lambda text: f"{BASE}/{text}"),
)
listings = st.builds(
    lambda entities, link, delta: json.dumps(
        {"value": entities, "@odata.nextLink": link, "@odata.deltaLink": delta}
    ).encode(),
    values,
    st.one_of(links, values),
    values,
)
statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 410, 429, 500, 503])
responses = st.builds(
    httpx.Response,
    statuses,
    headers=headers,
    content=st.one_of(json_bytes, listings),
)


@given(answers=st.lists(responses, max_size=4))
@example(answers=[httpx.Response(200, content=b'{"value":[],"@odata.nextLink":"http://[::1"}')])
@example(
    answers=[
        httpx.Response(
            200, content=json.dumps({"value": [], "@odata.nextLink": f"{BASE}/\x01"}).encode()
        )
    ]
)
@example(
    answers=[
        httpx.Response(
            200, content=json.dumps({"value": [], "@odata.nextLink": BASE + "/a" * 40000}).encode()
        )
    ]
)
@fuzzed(120, long=20_000)
def test_any_answers_are_pages_or_one_failure_with_its_reason(
    answers: list[httpx.Response],
) -> None:
    with client_of(iter(answers)) as client:
        try:
            pages = [page for _, page in zip(range(20), client.pages(LISTING), strict=False)]
        except RunFailure as failure:
            require_told(failure)
        else:
            assert all(isinstance(page.entities, list) for page in pages)


@given(token=st.one_of(json_bytes, st.builds(
    lambda token, lifetime: json.dumps({"access_token": token, "expires_in": lifetime}).encode(),
    values, values)))  # fmt: skip
@example(token=b'{"access_token":"\\u00e9","expires_in":1}')
@example(token=b'{"access_token":"a\\nb","expires_in":1}')
@example(token=b'{"access_token":"a","expires_in":1' + b"0" * 400 + b"}")
@example(token=nested(5000).encode())
@fuzzed(80, long=10_000)
def test_any_token_is_used_or_said_to_be_none(token: bytes) -> None:
    answers = iter([httpx.Response(200, content=b'{"value": []}')])
    with client_of(answers, token or b"x") as client:
        try:
            assert client.get(LISTING) == {"value": []}
        except RunFailure as failure:
            require_told(failure)


items = st.one_of(
    values,
    st.fixed_dictionaries(
        {"id": st.sampled_from(["0", "1", 0, None])},
        optional={"status": st.one_of(statuses, values), "headers": values, "body": values},
    ),
)


@given(parts=st.one_of(st.lists(items, max_size=4), values))
@example(parts=[{"id": "0", "status": 200, "body": nested(5000)}])
@fuzzed(120, long=10_000)
def test_any_batch_answers_each_question_once_or_fails(parts: Any) -> None:
    asks = [Ask("GET", f"{LISTING}/a"), Ask("GET", f"{LISTING}/b")]
    answer = json.dumps({"responses": parts}).encode()
    with client_of(httpx.Response(200, content=answer) for _ in range(5)) as client:
        told: list[Ask] = []
        try:
            for ask, body in client.batch(asks):
                told.append(ask)
                assert isinstance(body, dict | RunFailure)
        except RunFailure as failure:
            require_told(failure)
        else:
            assert len(told) == len(asks)
        assert len(set(told)) == len(told)


@given(header=st.one_of(st.none(), texts, st.floats().map(str)))
@example(header="Mon, 01 Jan 0000 00:00:00 GMT")
@example(header="Mon, 31 Dec 9999 23:59:59 -2400")
@fuzzed(100, long=20_000)
def test_any_retry_after_is_a_wait_or_says_nothing(header: str | None) -> None:
    wait_s = retry_after_s(header, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert wait_s is None or (0 <= wait_s < math.inf)


@given(item=st.dictionaries(st.sampled_from(["id", "status", "headers", "body"]), values))
@fuzzed(60, long=5000)
def test_any_part_of_a_batch_is_a_reply(item: dict[str, Any]) -> None:
    reply = Reply.of_batch(item)
    assert all(isinstance(text, str) for pair in reply.headers.items() for text in pair)


PROPERTIES = (
    *("id", "displayName", "name", "roleScopeTagIds", "roleScopeTags", "@odata.type"),
    *("scheduledActionsForRule", "conditions", "includeGroups", "settings", "omaSettings"),
)


@given(
    entity=st.one_of(
        st.dictionaries(st.one_of(st.sampled_from(PROPERTIES), texts), values, max_size=5), values
    ),
    settings_=st.lists(values, max_size=2),
    assignments=st.lists(
        st.one_of(values, values.map(lambda value: {"target": value})), max_size=2
    ),
)
@fuzzed(150, long=20_000)
def test_any_policy_has_a_content_that_comes_back_as_it_was_or_is_malformed(
    entity: Any, settings_: list[Any], assignments: list[Any]
) -> None:
    captured = Captured("deviceConfiguration", entity, settings_, assignments)
    try:
        content = normalise(captured, Names())
    except MalformedContent as error:
        require_said(error)
        return
    kept = json.loads(json.dumps(content.document()))
    again = Content.from_document(kept)
    assert again.fingerprint_of_all == content.fingerprint_of_all
    assert Captured.from_document(json.loads(json.dumps(captured.document()))).type


@given(text=utf8, other=texts)
@fuzzed(30, long=2000)
def test_only_what_was_sealed_is_opened(text: str, other: str) -> None:
    sealer = Sealer.of(Config(secret_key="0123456789abcdef" * 2))
    assert sealer.open(sealer.seal(text)) == text
    with pytest.raises(Unsealable):
        sealer.open(other)
