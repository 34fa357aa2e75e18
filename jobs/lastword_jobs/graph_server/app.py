"""The server on the wire: tokens, the API, and the laboratory, as one ASGI application."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lastword_jobs.graph_server.answers import JSON_TYPE, Answer
from lastword_jobs.graph_server.calls import Call
from lastword_jobs.graph_server.clock import Clock, stamp
from lastword_jobs.graph_server.control import LaboratoryRoutes
from lastword_jobs.graph_server.rules import Rules
from lastword_jobs.graph_server.server import Dropped, GraphServer
from lastword_jobs.graph_server.tenants import Tenant
from lastword_jobs.graph_server.tokens import TokenIssuer, TokenRefused

__all__ = ["GraphServer", "create_app"]


def create_app(
    tenants: Sequence[Tenant],
    tokens: TokenIssuer,
    *,
    rules: Rules | None = None,
    clock: Clock = time.time,
) -> Starlette:
    """The server as an ASGI application; its state is `app.state.graph`.

    Args:
        tenants: the tenants.
        tokens: who may ask; give it the same clock.
        rules: how the server behaves.
        clock: Unix seconds, for stamps, limits and delta tokens.
    """
    graph = GraphServer(
        tenants={tenant.tenant_id: tenant for tenant in tenants},
        tokens=tokens,
        rules=rules or Rules(),
        clock=clock,
    )
    wire = _Wire(graph)
    methods = ["GET", "POST", "PATCH", "PUT", "DELETE"]
    app = Starlette(
        routes=[
            *LaboratoryRoutes(graph).routes(),
            Route("/{tenant}/oauth2/v2.0/token", wire.token, methods=["POST"]),
            Route("/{version}/{path:path}", wire.call, methods=methods),
        ]
    )
    app.state.graph = graph
    return app


class _Wire:
    def __init__(self, graph: GraphServer) -> None:
        self.graph = graph

    async def token(self, request: Request) -> Response:
        tenant_id = request.path_params["tenant"]
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        book = self.graph.laboratory.book
        now = stamp(self.graph.clock())
        entry = book.note(method="POST", path=request.url.path, tenant=tenant_id, at=now, status=0)
        book.count("POST", "/token")
        fault = await self.graph.hit(method="POST", path=request.url.path, tenant_id=tenant_id)
        if fault is not None and not fault.is_silence:
            entry["status"] = fault.status
            return _Silence() if fault.drop else _response(fault.answer)
        try:
            answer = Answer(
                200, self.graph.tokens.issue(tenant_id, form, tenants=self.graph.tenants)
            )
        except TokenRefused as refusal:
            answer = Answer(400, refusal.document(timestamp=now))
        entry["status"] = answer.status
        return JSONResponse(answer.body, answer.status, {"Cache-Control": "no-store"})

    async def call(self, request: Request) -> Response:
        call = Call(
            method=request.method,
            version=request.path_params["version"],
            path=request.path_params["path"],
            options=request.query_params.multi_items(),
            headers=dict(request.headers),
            content=await request.body(),
            base_url=str(request.base_url).rstrip("/"),
        )
        try:
            return _response(await self.graph.answer(call))
        except Dropped:
            return _Silence()


class _Silence(Response):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Uvicorn answers 500 for an application that says nothing; it closes the connection when
        # one ends in the middle of its answer.
        headers = [(b"content-length", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def _response(answer: Answer) -> Response:
    headers = {key.lower(): value for key, value in answer.headers.items()}
    if answer.body is not None:
        headers.setdefault("content-type", JSON_TYPE)
    return Response(answer.content, answer.status, headers)
