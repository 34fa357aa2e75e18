"""The one table of pages, and the guard before each: who may open it is part of the entry.

Nobody signed in: to the sign-in page, or 401 where a program asks. Not entitled: 404, as if it were
not there. Entitled without the capability: 403. An entry that says nothing asks for `VIEW`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote

import peewee
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lastword.access import Capability
from lastword.errors import LastwordError, LedgerUnavailable, UnknownRun, UnknownTenant
from lastword.reading.tenants import find_tenant
from lastword.service.audit import Entry as AuditEntry
from lastword.service.audit import Result, write_audit
from lastword.service.sessions import TOUCH_EVERY_MS, touch_session
from lastword.web.asking import Asked, Forbidden, NotFound, Unauthenticated
from lastword.web.fields import BadInput, Fields
from lastword.web.identifying import viewer_of
from lastword.web.refusing import refuse
from lastword.web.site import Site

#: Bytes of a body at most.
LARGEST_BODY = 64 * 1024

Handler = Callable[[Asked], Response]


@dataclass(frozen=True, slots=True)
class Entry:
    """One page, or one thing that can be done.

    Attributes:
        path: with `{tenant}` where it belongs to one.
        handler: what answers.
        method: `GET` (and with it `HEAD`) or `POST`.
        needs: the capability in the workspace of the tenant, or in any; None: to be signed in.
        is_open: whether nobody has to be signed in.
    """

    path: str
    handler: Handler
    method: str = "GET"
    needs: Capability | None = Capability.VIEW
    is_open: bool = False

    @property
    def is_api(self) -> bool:
        """Whether programs ask for it."""
        return self.path.startswith("/api/")


def route_of(site: Site, entry: Entry) -> Route:
    """The route of an entry, with the guard before it."""

    async def endpoint(request: Request) -> Response:
        try:
            asked = await _asked(site, entry, request)
        except (BadInput, ClientDisconnect) as error:
            bad = error if isinstance(error, BadInput) else _disconnected()
            return refuse(Asked(site, request), entry.is_api, bad)
        began = time.perf_counter()
        response = await run_in_threadpool(_answer, entry, asked)
        took_s = time.perf_counter() - began
        site.traffic.note(entry.path, entry.method, response.status_code, took_s)
        return response

    return Route(entry.path, endpoint, methods=[entry.method], name=f"{entry.method} {entry.path}")


async def _asked(site: Site, entry: Entry, request: Request) -> Asked:
    query = Fields.parsed(request.url.query)
    asked = Asked(site, request, needs=entry.needs, query=query)
    if entry.method == "GET":
        return asked
    body = await _body(request)
    if entry.is_api:
        return replace(asked, body=body)
    return replace(asked, form=Fields.parsed(body.decode(errors="replace")))


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY:
            raise BadInput("the body", f"more than {LARGEST_BODY} bytes", expected="less")
        parts.append(part)
    return b"".join(parts)


def _answer(entry: Entry, asked: Asked) -> Response:
    # Step by step, so that each refusal knows as much of who was refused as there is to know.
    try:
        if not entry.is_open:
            asked = _identified(entry, asked)
            asked = _with_tenant(asked)
            _require(entry, asked)
        return entry.handler(asked)
    except Unauthenticated:
        return _to_sign_in(entry, asked)
    except (UnknownRun, NotFound):
        return _not_there(entry, asked)
    except LedgerUnavailable as error:
        logging.getLogger("lastword").warning("%s", error.seen)
        return refuse(asked, entry.is_api, error)
    except Forbidden as error:
        return _denied(entry, asked, error)
    except LastwordError as error:
        return refuse(asked, entry.is_api, error)
    except Exception:
        logging.getLogger("lastword").exception("request %s", asked.request_id)
        return refuse(asked, entry.is_api, None)


def _identified(entry: Entry, asked: Asked) -> Asked:
    viewer = viewer_of(asked.site, asked.request, with_tokens=entry.is_api)
    if viewer is None:
        raise Unauthenticated
    if viewer.session_id is not None and viewer.seen_ms_ago > TOUCH_EVERY_MS:
        touch_session(asked.ledger, viewer.session_id)
    return replace(asked, viewer=viewer)


def _require(entry: Entry, asked: Asked) -> None:
    if entry.needs is None:
        return
    # On the tenant of the matched route, never on the URL as somebody wrote it.
    if asked.tenant is not None:
        asked.require(
            entry.needs,
            workspace_id=asked.tenant.workspace_id,
            tenant_id=asked.tenant.tenant_id,
            target_kind="tenant",
            target_id=asked.tenant.tenant_id,
        )
    elif entry.needs is not Capability.VIEW and not asked.person.scopes_with(entry.needs):
        raise Forbidden(entry.needs, "page", entry.path)


def _with_tenant(asked: Asked) -> Asked:
    tenant_id = asked.path.get("tenant")
    if tenant_id is None:
        return asked
    try:
        found = find_tenant(asked.ledger, tenant_id)
    except UnknownTenant:
        raise NotFound from None
    if not asked.person.sees(found.workspace_id, found.tenant_id):
        raise NotFound
    return replace(asked, tenant=found)


def _to_sign_in(entry: Entry, asked: Asked) -> Response:
    if entry.is_api:
        return refuse(asked, True, Unauthenticated())
    url = asked.request.url
    back = f"{url.path}?{url.query}" if url.query else url.path
    where = f"/admin/sign-in?next={quote(back)}" if entry.method == "GET" else "/admin/sign-in"
    if asked.request.headers.get("hx-request"):
        # A part of a page: the browser goes there as a whole.
        return Response(status_code=401, headers={"HX-Redirect": "/admin/sign-in"})
    return RedirectResponse(where, 303)


def _denied(entry: Entry, asked: Asked, error: Forbidden) -> Response:
    line = _line(entry, error.capability, error.target_kind, error.target_id)
    if asked.tenant is not None:
        tenant = asked.tenant
        line = replace(line, workspace_id=tenant.workspace_id, tenant_id=tenant.tenant_id)
    return _noted(entry, asked, line, error)


def _not_there(entry: Entry, asked: Asked) -> Response:
    # What is not there and what is somebody else's take the same way, and the same time.
    if entry.method == "GET" or asked.viewer is None:
        return refuse(asked, entry.is_api, NotFound())
    named = "/".join(str(value) for value in asked.path.values())
    return _noted(entry, asked, _line(entry, "not_found", "page", named), NotFound())


def _line(entry: Entry, reason: str, target_kind: str, target_id: str | None) -> AuditEntry:
    return AuditEntry(
        action=f"{'api' if entry.is_api else 'web'}.{entry.method.lower()}",
        target_kind=target_kind,
        target_id=target_id,
        result=Result.DENIED,
        reason=reason,
        after={"path": entry.path},
    )


def _noted(entry: Entry, asked: Asked, line: AuditEntry, error: LastwordError) -> Response:
    try:
        write_audit(asked.ledger, asked.actor, [line])
    except (LedgerUnavailable, peewee.PeeweeException):
        asked.site.traffic.note_unwritten()
        logging.getLogger("lastword").exception("the audit log, request %s", asked.request_id)
        return refuse(asked, entry.is_api, None)
    return refuse(asked, entry.is_api, error)


def _disconnected() -> BadInput:
    return BadInput("the body", "cut off", expected="all of it")
