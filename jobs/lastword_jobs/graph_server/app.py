"""The server's routes: tokens, listings, single objects, and the laboratory that controls it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lastword_jobs.graph_server.faults import Fault, Laboratory
from lastword_jobs.graph_server.listing import COLLECTIONS, BadQuery, page_of
from lastword_jobs.graph_server.seeding import SeededTenant
from lastword_jobs.graph_server.tokens import Grant, TokenIssuer, TokenRefused


@dataclass(slots=True)
class GraphServer:
    """Everything the server holds.

    Args:
        tenants: the tenants, by id.
        tokens: who may ask.
        latency_s: how long every answer of the API takes at least, in seconds.
    """

    tenants: dict[str, SeededTenant]
    tokens: TokenIssuer
    laboratory: Laboratory
    latency_s: float = 0.0

    async def token(self, request: Request) -> Response:
        """POST /{tenant}/oauth2/v2.0/token."""
        tenant_id = request.path_params["tenant"]
        form = dict(parse_qsl((await request.body()).decode()))
        self.laboratory.note(method="POST", path=request.url.path, tenant=tenant_id)
        hit = await self._hit(request, tenant_id)
        if hit is not None:
            return hit
        try:
            return JSONResponse(self.tokens.issue(tenant_id, form, tenants=self.tenants))
        except TokenRefused as refusal:
            return JSONResponse(
                {"error": refusal.code, "error_description": refusal.description}, status_code=400
            )

    async def listing(self, request: Request) -> Response:
        """GET /{version}/deviceManagement/{collection}."""
        name = request.path_params["collection"]
        grant, refusal = await self._admitted(request, name)
        if grant is None:
            return refusal
        address = str(request.url.replace(query=""))
        entities = self.tenants[grant.tenant_id].collections.get(name, [])
        try:
            page = page_of(entities, COLLECTIONS[name], request.query_params, address=address)
        except BadQuery as error:
            return _error(400, "BadRequest", str(error))
        return JSONResponse(page)

    async def single(self, request: Request) -> Response:
        """GET /{version}/deviceManagement/{collection}/{id}."""
        name = request.path_params["collection"]
        grant, refusal = await self._admitted(request, name)
        if grant is None:
            return refusal
        for entity in self.tenants[grant.tenant_id].collections.get(name, []):
            if entity["id"] == request.path_params["id"]:
                return JSONResponse(entity)
        return _error(404, "ResourceNotFound", "Resource does not exist.")

    async def add_faults(self, request: Request) -> Response:
        """POST /_lab/faults: one fault or a list of them."""
        asked = await request.json()
        rules = asked if isinstance(asked, list) else [asked]
        known = {field.name for field in fields(Fault)}
        for rule in rules:
            unknown = set(rule) - known
            if unknown:
                return JSONResponse(
                    {"error": f"unknown keys {sorted(unknown)}; expected {sorted(known)}"}, 400
                )
        self.laboratory.faults.extend(Fault(**rule) for rule in rules)
        return JSONResponse({"faults": len(self.laboratory.faults)})

    async def journal(self, request: Request) -> Response:
        """GET /_lab/journal: the requests so far, in order."""
        del request
        return JSONResponse(self.laboratory.journal)

    async def reset(self, request: Request) -> Response:
        """POST /_lab/reset: no faults, no journal, every token expired."""
        del request
        self.laboratory.faults.clear()
        self.laboratory.journal.clear()
        self.tokens.revoke_all()
        return JSONResponse({})

    async def _admitted(self, request: Request, name: str) -> tuple[Grant | None, Response]:
        grant = self.tokens.check(request.headers.get("authorization"))
        self.laboratory.note(
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            tenant=grant.tenant_id if grant else None,
            client_request_id=request.headers.get("client-request-id"),
        )
        if grant is None:
            return None, _error(401, "InvalidAuthenticationToken", "Access token is invalid.")
        hit = await self._hit(request, grant.tenant_id)
        if hit is not None:
            return None, hit
        collection = COLLECTIONS.get(name)
        if collection is None or request.path_params["version"] not in collection.versions:
            return None, _error(400, "BadRequest", f"Resource not found for the segment '{name}'.")
        if collection.role not in grant.roles:
            return None, _error(403, "Forbidden", "Application is not authorized.")
        return grant, Response()

    async def _hit(self, request: Request, tenant: str) -> Response | None:
        fault = self.laboratory.fault_for(
            method=request.method, path=request.url.path, tenant=tenant
        )
        await asyncio.sleep(self.latency_s + (fault.latency_s if fault else 0.0))
        if fault is None:
            return None
        if fault.drop:
            return _NoAnswer()
        if not fault.status:
            return None
        body = fault.body if isinstance(fault.body, str) else json.dumps(fault.body or {})
        headers = {"content-type": "application/json", **fault.headers}
        return Response(body, fault.status, headers)


class _NoAnswer(Response):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Uvicorn answers 500 for an application that says nothing; it closes the connection when
        # one ends in the middle of its answer.
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def create_app(
    tenants: Sequence[SeededTenant], tokens: TokenIssuer, *, latency_s: float = 0.0
) -> Starlette:
    """The server as an ASGI application; its state is `app.state.graph`."""
    graph = GraphServer(
        tenants={tenant.tenant_id: tenant for tenant in tenants},
        tokens=tokens,
        laboratory=Laboratory(),
        latency_s=latency_s,
    )
    collection = "/{version}/deviceManagement/{collection}"
    app = Starlette(
        routes=[
            Route("/_lab/faults", graph.add_faults, methods=["POST"]),
            Route("/_lab/journal", graph.journal),
            Route("/_lab/reset", graph.reset, methods=["POST"]),
            Route("/{tenant}/oauth2/v2.0/token", graph.token, methods=["POST"]),
            Route(collection, graph.listing),
            Route(collection + "/{id}", graph.single),
        ]
    )
    app.state.graph = graph
    return app


def _error(status: int, code: str, message: str) -> Response:
    inner: Mapping[str, str] = {"request-id": str(uuid.uuid4())}
    body = {"error": {"code": code, "message": message, "innerError": inner}}
    return JSONResponse(body, status_code=status)
