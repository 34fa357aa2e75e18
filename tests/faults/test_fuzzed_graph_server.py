"""Whatever the local Graph is asked: an answer, or a refusal with its code.

What parses here, in `graph_server`: `query` (OData), `delta` (tokens), `batch`, `calls` (bodies),
`control` (orders to the laboratory).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from lastword_jobs.graph_server.app import create_app
from lastword_jobs.graph_server.query import token_of
from lastword_jobs.graph_server.seeding import seed_tenant
from lastword_jobs.graph_server.tenants import Size
from lastword_jobs.graph_server.tokens import TokenIssuer
from tests.fuzzing import fuzzed, json_bytes, nested, texts, utf8, values

TENANT = "fuzzed"
LISTING = "v1.0/deviceManagement/deviceConfigurations"


@pytest.fixture(scope="module")
def local() -> Iterator[TestClient]:
    app = create_app([seed_tenant(TENANT, Size.S)], TokenIssuer("id", "secret"))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=True) as client:
        form = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret"}
        scope = {"scope": "http://127.0.0.1/.default"}
        answer = client.post(f"/{TENANT}/oauth2/v2.0/token", data={**form, **scope})
        client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


def require_graph_answer(answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert error["code"]
        assert error["message"]


PATHS = st.sampled_from(
    [
        *(
            LISTING,
            "v1.0/groups",
            "v1.0/groups/delta",
            "beta/deviceManagement/configurationPolicies",
        ),
        *("v1.0/users", "v1.0/identity/conditionalAccess/policies", "v1.0/$batch", "v1.0/nothing"),
    ]
)
OPTIONS = st.sampled_from(
    [
        *("$top", "$filter", "$select", "$expand", "$skiptoken", "$deltatoken", "$count"),
        *("$orderby", "$search", "x"),
    ]
)
option_values = st.one_of(
    utf8,
    values.map(token_of),
    st.lists(values, max_size=7).map(token_of),
    st.sampled_from(
        [
            *("displayName eq 'a''b'", "id eq ''", "startswith(displayName,'\\')", "id eq 'a"),
            *("id,displayName", "assignments", "latest", "true", "٣", "9" * 5000),
            *(token_of([1, "x"]), token_of([10**30, "x"]), token_of([True, "x"])),
            *(
                token_of([0, None, 0, 0, None, 0, ""]),
                token_of([0, None, 0, 1e999, None, 10**30, ""]),
            ),
            *("W1tb", "é", token_of(0)[:-1]),
        ]
    ),
)


#: A token of ours by its letters, whose JSON nests deeper than an interpreter follows.
DEEP_TOKEN = base64.urlsafe_b64encode(nested(5000).encode()).decode()


@example(path=LISTING, options={"$skiptoken": DEEP_TOKEN})
@example(path="v1.0/groups/delta", options={"$deltatoken": DEEP_TOKEN})
@given(path=PATHS, options=st.dictionaries(OPTIONS, option_values, max_size=3))
@fuzzed(150, long=20_000)
def test_any_odata_is_answered_or_refused_by_name(
    local: TestClient, path: str, options: dict[str, str]
) -> None:
    require_graph_answer(local.get(f"/{path}", params=options))


requests = st.fixed_dictionaries(
    {
        "id": st.one_of(st.sampled_from(["1", "2"]), values),
        "method": st.one_of(st.sampled_from(["GET", "POST", "PATCH"]), values),
        "url": st.one_of(
            st.sampled_from(["/groups", "groups?$top=1", "http://[::1", "/%ff"]), texts
        ),
    },
    optional={"headers": values, "body": values, "dependsOn": values},
)


@given(
    body=st.one_of(
        json_bytes,
        st.lists(st.one_of(requests, values), max_size=3).map(
            lambda asked: json.dumps({"requests": asked}).encode()
        ),
    )
)
@example(
    body=json.dumps({"requests": [{"id": "1", "method": "GET", "url": "http://[::1"}]}).encode()
)
@fuzzed(120, long=10_000)
def test_any_batch_is_answered_or_refused(local: TestClient, body: bytes) -> None:
    kind = {"content-type": "application/json"}
    require_graph_answer(local.post("/v1.0/$batch", content=body, headers=kind))


@given(
    route=st.sampled_from(["faults", "rules", "seed", "drift", "reset", "tenants"]), body=json_bytes
)
@fuzzed(60, long=5000)
def test_any_order_to_the_laboratory_is_carried_out_or_refused(
    local: TestClient, route: str, body: bytes
) -> None:
    answer = local.post(f"/_lab/{route}", content=body)
    assert answer.status_code < 500, answer.text
    local.delete("/_lab/faults")
