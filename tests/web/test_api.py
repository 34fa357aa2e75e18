"""The JSON API: its document, walked by Schemathesis, and what it answers to programs."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lastword.access import Capability, Role
from lastword.reading.audit import AuditFilter, list_audit
from lastword.service.api_tokens import new_token, revoke_token
from lastword.service.audit import SYSTEM
from lastword.web.app import create_app
from tests.web.world import (
    FOREIGN,
    FOREIGN_TENANT,
    ORIGIN,
    OWN_TENANT,
    World,
    no_application,
)

URL = "/api/admin/operations"

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def token_of(world: World, name: str = "ada", *scopes: str) -> str:
    return new_token(
        world.ledger,
        user_id=name,
        name="script",
        scopes=scopes or [str(capability) for capability in Capability],
        days=1,
        actor=SYSTEM,
    )


def asked(world: World, method: str, path: str, token: str | None, **more: Any) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    return world.client.request(method, path, headers=headers, follow_redirects=False, **more)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_the_document_says(world: World, mode: GenerationMode) -> None:
    """Schemathesis makes requests of it, right ones or wrong ones, and looks at what comes."""
    world.person("ada", Role.OWNER)
    headers = {"host": "127.0.0.1:8000", "authorization": f"Bearer {token_of(world)}"}
    makers = (world.reconciled, world.run, world.running, world.blocked, world.ended)
    runs = [make() for make in makers]
    app = create_app(world.config, world.ledger, open_application=no_application)
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers=headers)
    seen: dict[str, set[int]] = {}

    def ask(case: Any) -> None:
        response = case.call(base_url=ORIGIN, headers=headers)
        seen.setdefault(f"{case.method} {case.path}", set()).add(int(response.status_code))
        case.validate_response(response, checks=CHECKS)

    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        strategy = operation.as_strategy(generation_mode=mode)
        walk = settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )(given(case=strategy)(ask))
        walk()
        if "{run}" in operation.path:
            for run in runs:
                ask(operation.Case(path_parameters={"run": run}))
    if mode is GenerationMode.NEGATIVE:
        assert all(422 in codes for path, codes in seen.items() if "{run}" not in path)
    else:
        assert seen[f"GET {URL}"] >= {200}
        assert seen[f"POST {URL}"] >= {404}
    assert seen[f"GET {URL}/{{run}}"] >= {200, 404}


def test_a_list_goes_on_by_its_cursor(world: World) -> None:
    world.person("ada", Role.VIEWER)
    token = token_of(world)
    runs = [world.run(tenant=f"t{number}") for number in range(7)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        path = f"{URL}?limit=3" + (f"&cursor={cursor}" if cursor else "")
        page = asked(world, "GET", path, token).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert seen == runs[::-1]


def test_a_listed_run_has_the_fields_that_are_promised(world: World) -> None:
    world.person("ada", Role.VIEWER)
    world.ended()
    [run] = asked(world, "GET", URL, token_of(world)).json()["runs"]
    assert {
        *("id", "type", "type_label", "status", "outcome", "freshness_state", "problem_class"),
        *("reconciled", "reason_code", "workspace_id", "tenant_id", "initiator", "created_at"),
        *("available_at", "started_at", "completed_at", "attempt", "summary_counts", "url"),
    } <= set(run)
    detail = asked(world, "GET", f"{URL}/{run['id']}", token_of(world)).json()
    assert {
        *("reconciliation", "evidence", "attempts", "failures", "context", "events", "links"),
    } <= set(detail)


def test_a_token_may_do_its_scopes_and_no_more_than_its_person(world: World) -> None:
    world.person("ada", Role.VIEWER)
    world.person("olaf", Role.OWNER)
    run = world.run()
    body = {"type": "policy.sync", "tenant_id": OWN_TENANT}
    reads = token_of(world, "olaf", "operations.view")
    assert asked(world, "GET", f"{URL}/{run}", reads).status_code == 200
    assert asked(world, "POST", URL, reads, json=body).status_code == 403
    starts = token_of(world, "olaf", "sync.run")
    assert asked(world, "GET", f"{URL}/{run}", starts).status_code == 404
    # A viewer's token: whatever it names, it may not start anything.
    assert asked(world, "POST", URL, token_of(world), json=body).status_code == 403
    denied = list_audit(world.ledger, AuditFilter(result="denied"))
    assert {entry["action"] for entry in denied} == {"api.post"}


def test_a_token_opens_the_api_and_no_page(world: World) -> None:
    world.person("ada", Role.OWNER)
    token = token_of(world)
    assert asked(world, "GET", URL, token).status_code == 200
    page = asked(world, "GET", "/admin/operations", token)
    assert page.headers["location"].startswith("/admin/sign-in")


@pytest.mark.parametrize("how", ["none", "wrong", "basic", "revoked", "expired"])
def test_a_token_that_does_not_count_is_401(world: World, how: str) -> None:
    world.person("ada", Role.OWNER)
    token: str | None = token_of(world)
    with world.ledger.transaction():
        [row] = world.ledger.execute("SELECT id FROM lastword_api_token")
        if how == "expired":
            world.ledger.execute("UPDATE lastword_api_token SET expires_at = created_at")
    if how == "revoked":
        assert revoke_token(world.ledger, row["id"], user_id="ada", actor=SYSTEM)
    headers = {
        "none": {},
        "wrong": {"authorization": "Bearer lw_nothing"},
        "basic": {"authorization": f"Basic {token}"},
    }.get(how, {"authorization": f"Bearer {token}"})
    # A session of the same browser is not asked where a token is shown.
    if how != "none":
        world.sign_in("ada")
    answer = world.client.get(URL, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"{}", "application/json", "type is 'missing'; expected the name of an operation"),
        (b"[]", "application/json", "the body is 'list'; expected a JSON object"),
        (b"{", "application/json", "the body is 'no JSON'"),
        (b"[" * 60000, "application/json", "the body is 'no JSON'"),
        (b'{"type": 3}', "application/json", "type is '3'; expected a text"),
        (b'{"type": "policy.sync", "x": 1}', "application/json", "x is 'unknown'"),
        (b'{"type": "nothing"}', "application/json", "operation 'nothing' has no policy"),
        (b'{"type": "policy.sync", "inputs": 1}', "application/json", "inputs is 'int'"),
        (b"type=policy.sync", "application/x-www-form-urlencoded", "the content type is"),
        (b"x" * 70000, "application/json", "the body is 'more than 65536 bytes'"),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_what_was_seen(
    world: World, content: bytes, kind: str, said: str
) -> None:
    world.person("ada", Role.OWNER)
    headers = {"authorization": f"Bearer {token_of(world)}", "content-type": kind}
    answer = world.client.post(URL, content=content, headers=headers)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]


def test_what_is_foreign_cannot_be_started(world: World) -> None:
    world.person("ada", Role.OWNER)
    token = token_of(world)
    for tenant in (FOREIGN_TENANT, "nowhere"):
        body = {"type": "policy.sync", "tenant_id": tenant}
        answer = asked(world, "POST", URL, token, json=body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "not found")
    assert asked(world, "GET", f"{URL}?workspace_id={FOREIGN}", token).json()["runs"] == []
