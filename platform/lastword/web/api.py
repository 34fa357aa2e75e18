"""The JSON API over runs: the same list, the same filters and the same scope as the pages."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from lastword.access import Capability
from lastword.errors import UnknownTenant
from lastword.identity import LONGEST_ID
from lastword.reading.evidence import surroundings_of
from lastword.reading.runs import list_runs
from lastword.reading.tenants import find_tenant
from lastword.service.requests import Acceptance
from lastword.web.asking import Asked, Forbidden, NotFound
from lastword.web.fields import BadInput
from lastword.web.guarding import Entry
from lastword.web.headlines import headline_of
from lastword.web.openapi import document
from lastword.web.pages.run import find_run
from lastword.web.run_queries import FILTERS, LARGEST_PAGE, PAGE, cursor_after, read_filter
from lastword.web.starts import start_for

#: Fields that the API takes; those of the page that belong to a person and a screen are not.
API_FILTERS = frozenset({*FILTERS, "cursor", "limit"})

_STARTED = frozenset({"type", "tenant_id", "inputs"})


def list_operations(asked: Asked) -> Response:
    """The newest runs that fit, and where the next page begins."""
    asked.query.only(API_FILTERS)
    limit = asked.query.number("limit", 1, LARGEST_PAGE) or PAGE
    wanted = read_filter(
        asked.query, scopes=asked.scopes, user_id=asked.person.user_id, limit=limit
    )
    found = list_runs(asked.ledger, replace(wanted, limit=limit + 1), labels=asked.site.labels)
    more = len(found) > limit
    runs = found[:limit]
    return asked.json({"runs": runs, "next_cursor": cursor_after(runs[-1]) if more else None})


def show_operation(asked: Asked) -> Response:
    """One run in full."""
    asked.query.only(set())
    run = find_run(asked)
    around = surroundings_of(asked.ledger, run["id"])
    headline = headline_of(
        run,
        around,
        sweep_interval=asked.config.sweep_interval,
        lease_ttl=asked.config.lease_ttl,
    )
    hidden = {"attempts": [_without_diagnostics(attempt) for attempt in run["attempts"]]}
    evidence = {**run["evidence"], "next_verdict_at": headline.verdict_at}
    return asked.json(
        {**run, **hidden, "evidence": evidence, "headline": headline.sentence, "links": _links(run)}
    )


def start_operation(asked: Asked) -> Response:
    """Start a run: 201 with the new one, 200 with the one that is there, 409 if it may not be."""
    asked.query.only(set())
    body = _body(asked)
    operation = _text(body, "type", 100)
    if operation is None:
        raise BadInput("type", "missing", expected="the name of an operation")
    tenant = _text(body, "tenant_id", LONGEST_ID)
    inputs = body.get("inputs", {})
    if not isinstance(inputs, dict):
        raise BadInput("inputs", type(inputs).__name__, expected="an object")
    _require_startable(asked, operation, tenant)
    started = start_for(asked, operation, tenant=tenant, inputs=inputs)
    status = _STATUS[Acceptance(started.result)]
    answer = {"result": started.result, "run_id": started.run_id, "url": started.url}
    return asked.json(answer, status=status)


def openapi(asked: Asked) -> Response:
    """What this API is, as an OpenAPI document."""
    return asked.json(document(asked.site.labels))


_STATUS = {
    Acceptance.ACCEPTED: 201,
    Acceptance.DEDUPED: 200,
    Acceptance.SCOPE_BUSY: 409,
    Acceptance.BLOCKED: 409,
}


def _require_startable(asked: Asked, operation: str, tenant: str | None) -> None:
    # A tenant that is somebody else's is none; what the gate would block is told before it.
    policy = asked.config.offered(operation)
    if tenant is None:
        workspace_id = None
    else:
        try:
            found = find_tenant(asked.ledger, tenant)
        except UnknownTenant:
            raise NotFound from None
        if not asked.person.sees(found.workspace_id, found.tenant_id):
            raise NotFound
        workspace_id = found.workspace_id
    capability = Capability(policy.capability)
    if not asked.person.may(capability, workspace_id, tenant):
        raise Forbidden(capability, "operation", operation)


def _body(asked: Asked) -> dict[str, Any]:
    kind = asked.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadInput("the content type", kind or "missing", expected="application/json")
    try:
        body = json.loads(asked.body)
    except (ValueError, RecursionError):
        raise BadInput("the body", "no JSON", expected="a JSON object") from None
    if not isinstance(body, dict):
        raise BadInput("the body", type(body).__name__, expected="a JSON object")
    for name in body:
        if name not in _STARTED:
            raise BadInput(name[:40], "unknown", expected=f"some of {', '.join(sorted(_STARTED))}")
    return body


def _text(body: dict[str, Any], name: str, longest: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        raise BadInput(name, value, expected=f"a text of 1 to {longest} characters")
    return value


def _without_diagnostics(attempt: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attempt.items() if name != "diagnostics"}


def _links(run: dict[str, Any]) -> dict[str, str | None]:
    evidence = run["evidence"]
    return {
        "page": run["url"],
        "self": f"/api{run['url']}",
        "retry_of": _api(evidence["retry_of"]),
        "parent": _api(evidence["parent_id"]),
    }


def _api(run_id: str | None) -> str | None:
    return None if run_id is None else f"/api/admin/operations/{run_id}"


ENTRIES = (
    Entry("/api/admin/operations", list_operations),
    Entry("/api/admin/operations", start_operation, method="POST"),
    Entry("/api/admin/operations/{run}", show_operation),
    Entry("/api/openapi.json", openapi, is_open=True),
)
