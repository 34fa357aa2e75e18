"""The OpenAPI document of the API, made from the same words that its code checks against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from lastword.counts import REGISTERED_KEYS
from lastword.identity import LONGEST_ID
from lastword.reading.freshness import Freshness, ProblemClass
from lastword.reasons import Reason
from lastword.service.requests import Acceptance
from lastword.states import Outcome, Status
from lastword.web.run_queries import FILTERS, LARGEST_PAGE

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
_OBJECT: Schema = {"type": "object"}
_ID: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}


def document(labels: Mapping[str, str]) -> Schema:
    """The document.

    Args:
        labels: the operations of this deployment, with what people call them.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lastword", "version": version("lastword"), "description": _ABOUT},
        "paths": {
            "/api/admin/operations": {"get": _list(labels), "post": _start(labels)},
            "/api/admin/operations/{run}": {"get": _show()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Run": run_schema(),
                "RunDetail": detail_schema(),
                "Page": _page(),
                "Started": _started(),
                "Error": _error(),
            },
        },
        "security": [{"token": []}],
    }


_ABOUT = "Runs, in the scope of whoever asks. What is not in it is answered as what is not there."


def run_schema() -> Schema:
    """A run as a list holds it."""
    properties: dict[str, Schema] = {
        "id": _ID,
        "type": _TEXT,
        "type_label": _TEXT,
        "status": _one_of(Status),
        "outcome": _one_of(Outcome),
        "freshness_state": _one_of(Freshness),
        "problem_class": _one_of(ProblemClass),
        "reconciled": {"type": "boolean"},
        "reason_code": {"type": ["string", "null"], "enum": [*map(str, Reason), None]},
        "workspace_id": _MAYBE,
        "tenant_id": _MAYBE,
        "tenant_name": _MAYBE,
        "initiator": _TEXT,
        "created_at": {"type": "string", "format": "date-time"},
        "available_at": {"type": "string", "format": "date-time"},
        "started_at": _MOMENT,
        "completed_at": _MOMENT,
        "attempt": {"type": "integer", "minimum": 0},
        "summary_counts": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": f"Under {', '.join(REGISTERED_KEYS)}; of a run with parts also theirs.",
        },
        "url": _TEXT,
    }
    return _closed(properties)


def detail_schema() -> Schema:
    """A run in full."""
    more: dict[str, Schema] = {
        "initiator_id": _MAYBE,
        "actor_name": _TEXT,
        "headline": _TEXT,
        "reconciliation": {"type": ["object", "null"]},
        "evidence": _OBJECT,
        "attempts": _many(_OBJECT),
        "failures": _many(_OBJECT),
        "context": _OBJECT,
        "events": _many(_OBJECT),
        "links": {"type": "object", "additionalProperties": _MAYBE},
    }
    return _closed({**run_schema()["properties"], **more})


def _list(labels: Mapping[str, str]) -> Schema:
    choices: Mapping[str, Schema] = {
        "type": {"type": "string", "maxLength": 100, "examples": sorted(labels)[:3]},
        "status": _one_of(Status),
        "outcome": _one_of(Outcome),
        "freshness_state": _one_of(Freshness),
        "problem_class": _one_of(ProblemClass),
        "reason": _one_of(Reason),
        "reconciled": _one_of(("true", "false")),
        "mine": _one_of(("true", "false")),
        "workspace_id": _ID,
        "tenant_id": _ID,
        "since": {"type": "string", "format": "date"},
        "until": {"type": "string", "format": "date"},
    }
    assert set(choices) == set(FILTERS)
    paging: Mapping[str, Schema] = {
        "cursor": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,200}$"},
        "limit": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE},
    }
    return {
        "operationId": "listRuns",
        "summary": "The newest runs that fit, newest first",
        "parameters": [
            {"name": name, "in": "query", "schema": schema}
            for name, schema in {**choices, **paging}.items()
        ],
        "responses": {"200": _answer("A page of runs", "Page"), **_refusals(401, 422, 503)},
    }


def _start(labels: Mapping[str, str]) -> Schema:
    asked = {
        "type": "object",
        "required": ["type"],
        "additionalProperties": False,
        "properties": {
            "type": _one_of(sorted(labels)) if labels else _TEXT,
            "tenant_id": _ID,
            "inputs": _OBJECT,
        },
    }
    return {
        "operationId": "startRun",
        "summary": "Start a run, in the name of whoever asks",
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "201": _answer("It was accepted", "Started"),
            "200": _answer("A run does this work already", "Started"),
            "409": {
                "description": "The tenant is busy or the run is blocked; or that cannot be now",
                "content": {
                    "application/json": {"schema": {"anyOf": [_ref("Started"), _ref("Error")]}}
                },
            },
            **_refusals(401, 403, 404, 422, 503),
        },
    }


def _show() -> Schema:
    return {
        "operationId": "showRun",
        "summary": "One run with its evidence, attempts and events",
        "parameters": [{"name": "run", "in": "path", "required": True, "schema": _ID}],
        "responses": {"200": _answer("The run", "RunDetail"), **_refusals(401, 404, 422, 503)},
    }


def _page() -> Schema:
    return _closed({"runs": _many(_ref("Run")), "next_cursor": _MAYBE})


def _started() -> Schema:
    return _closed({"result": _one_of(Acceptance), "run_id": _ID, "url": _TEXT})


def _error() -> Schema:
    return _closed({"error": _closed({"code": _TEXT, "message": _TEXT, "request_id": _TEXT})})


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": dict(properties),
    }


def _one_of(names: Sequence[str] | type[Any]) -> Schema:
    return {"type": "string", "enum": [str(name) for name in names]}


def _many(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(what: str, schema: str) -> Schema:
    return {"description": what, "content": {"application/json": {"schema": _ref(schema)}}}


_REFUSALS = {
    401: "Nobody is signed in",
    403: "You may not do this",
    404: "It is not there, or not for you",
    422: "A field holds what it cannot hold",
    503: "The ledger does not answer",
}


def _refusals(*codes: int) -> Schema:
    return {str(code): _answer(_REFUSALS[code], "Error") for code in codes}
