"""What stands before every page: whose host it is, whose site asks, and the headers of the answer.

The rules are those of the OWASP cheat sheets on CSRF and on security headers, and the check of
`Sec-Fetch-Site` that Go 1.25 brought: no token in forms, nothing to forget.
"""

from __future__ import annotations

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lastword.identity import new_run_id
from lastword.logs import log_notice
from lastword.web.site import Site

#: What a probe asks for, under whatever name it reaches this host. Exact paths, nothing else.
PROBES = frozenset({"/healthz", "/readyz"})

#: Scraped under the address of this process. With a token, which no page of elsewhere knows, the
#: host says nothing more; without one it is what keeps such a page out.
METRICS = "/metrics"

#: Where browsers report what the content security policy has blocked.
REPORTS = "/csp-report"

_SAFE_METHODS = frozenset({"GET", "HEAD"})

_FIXED_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Shield:
    """ASGI middleware around the whole web.

    Args:
        app: what it stands before.
        site: whose hosts and origin are known.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what comes from elsewhere; else answer, with the headers that every answer has."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce, request_id = secrets.token_urlsafe(16), new_run_id()
        scope["state"] = {**scope.get("state", {}), "nonce": nonce, "request_id": request_id}

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), nonce, request_id)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            log_notice(logging.WARNING, "request_refused", why=refusal, request=request_id)
            await _answer(scope, refusal, request_id)(scope, receive, send_shielded)
            return
        await self._app(scope, receive, send_shielded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if scope["path"] in PROBES:
            return None
        if scope["path"] == METRICS and self._site.config.metrics_token:
            return None
        host = re.sub(r":[0-9]{1,5}$", "", headers.get("host", "").lower())
        if host not in self._site.hosts:
            return "this host is not the one that is configured as LASTWORD_WEB_URL"
        if scope["method"] in _SAFE_METHODS or scope["path"] == REPORTS:
            return None
        if "authorization" in headers:
            # No browser sends that by itself: nobody else's page can have made it.
            return None
        return None if self._is_own(headers) else "the request does not come from this site"

    def _is_own(self, headers: Headers) -> bool:
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        # Over plain HTTP, on another host than this, browsers say nothing but where they are.
        origin = headers.get("origin")
        if origin is None:
            return False
        if self._site.is_secure:
            return origin == self._site.origin
        # Our own host, as was just seen; by its name or by its number.
        return origin == f"http://{headers.get('host', '')}"

    def _add_headers(self, headers: MutableHeaders, nonce: str, request_id: str) -> None:
        for name, value in _FIXED_HEADERS.items():
            headers[name] = value
        headers["X-Request-Id"] = request_id
        headers["Content-Security-Policy"] = _policy(nonce)
        if "cache-control" not in headers:
            headers["Cache-Control"] = "no-store"
        if self._site.is_secure:
            headers["Strict-Transport-Security"] = "max-age=31536000"


def _answer(scope: Scope, refusal: str, request_id: str) -> Response:
    if scope["path"].startswith("/api/"):
        error = {"code": "forbidden", "message": refusal, "request_id": request_id}
        return JSONResponse({"error": error}, 403)
    return PlainTextResponse(f"{refusal}\n", 403)


def _policy(nonce: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}'",
            *(f"{kind}-src 'self'" for kind in ("style", "img", "connect")),
            "form-action 'self'",
            *(f"{name} 'none'" for name in ("base-uri", "frame-ancestors", "object-src")),
            "require-trusted-types-for 'script'",
            "trusted-types htmx",
            f"report-uri {REPORTS}",
        )
    )
