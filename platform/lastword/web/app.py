"""The web as an ASGI application. It reads the ledger, and works with broker and provider down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from lastword.application import Application
from lastword.config import Config
from lastword.errors import LastwordError
from lastword.logs import log_notice
from lastword.metrics.collecting import LedgerCollector
from lastword.metrics.exposing import CONTENT_TYPE, CallbackGauge, exposition, may_scrape
from lastword.storage.ledger import Ledger
from lastword.storage.schema import require_current_schema
from lastword.web import api, oidc, streaming
from lastword.web.asking import Asked, NotFound
from lastword.web.guarding import Entry, route_of
from lastword.web.pages import account, audit, notifications, operations, run, sign_in, workers
from lastword.web.rendering import Rendering
from lastword.web.shield import METRICS, REPORTS, Shield
from lastword.web.site import Site, Surface, application_opener, installed_surfaces

#: Seconds that a probe waits for the ledger.
READY_WITHIN_S = 2.0

#: Bytes of a browser's report that are read.
LARGEST_REPORT = 8192


def _not_found(asked: Asked) -> Response:
    raise NotFound


#: Every page of this floor. Order matters where a path fits two: the fixed one comes first.
OWN_ENTRIES: Sequence[Entry] = (
    *operations.ENTRIES,
    *run.ENTRIES,
    *streaming.ENTRIES,
    *audit.ENTRIES,
    *notifications.ENTRIES,
    *workers.ENTRIES,
    *account.ENTRIES,
    *sign_in.ENTRIES,
    *oidc.ENTRIES,
    *api.ENTRIES,
)

#: What no other entry has: answered as what is not there.
LAST_ENTRIES = (
    Entry("/api/{path:path}", _not_found, needs=None),
    Entry("/admin/{path:path}", _not_found, needs=None),
)


def create_app(
    config: Config,
    ledger: Ledger,
    *,
    open_application: Callable[[], Application] | None = None,
    surfaces: Sequence[Surface] | None = None,
) -> Starlette:
    """The application over one ledger.

    Args:
        config: the configuration.
        ledger: the ledger.
        open_application: gives what starts runs; the installed one if None.
        surfaces: what upper floors add; all that is installed if None.
    """
    surfaces = installed_surfaces() if surfaces is None else surfaces
    site = Site(
        config,
        ledger,
        Rendering([surface.templates for surface in surfaces]),
        open_application or application_opener(None),
        [link for surface in surfaces for link in surface.links],
    )
    entries = entries_of(surfaces)
    routes = [*_plain_routes(site), *(route_of(site, entry) for entry in entries)]
    app = Starlette(routes=routes, middleware=[Middleware(Shield, site=site)])
    app.state.site = site
    app.router.redirect_slashes = False
    return app


def entries_of(surfaces: Sequence[Surface]) -> list[Entry]:
    """Every page that there is, in the order in which they are looked for."""
    added = [entry for surface in surfaces for entry in surface.entries]
    return [*OWN_ENTRIES, *added, *LAST_ENTRIES]


def _plain_routes(site: Site) -> list[BaseRoute]:
    # One: a database that hangs must not cost a thread for each probe.
    reader = ThreadPoolExecutor(1, thread_name_prefix="lastword-ready")

    def healthz(request: Request) -> Response:
        """Whether this process answers."""
        del request
        return PlainTextResponse("well\n")

    def readyz(request: Request) -> Response:
        """Whether it can show anything: the ledger answers, and is of its version."""
        del request
        try:
            reader.submit(_reach, site.ledger).result(READY_WITHIN_S)
        except LastwordError as error:
            return PlainTextResponse(f"{error.seen}\n", status_code=503)
        except TimeoutError:
            said = f"the ledger did not answer within {READY_WITHIN_S:g} s\n"
            return PlainTextResponse(said, status_code=503)
        return PlainTextResponse("well\n")

    def home(request: Request) -> Response:
        """To the list of runs."""
        del request
        return RedirectResponse("/admin/operations", 303)

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route(REPORTS, _reported, methods=["POST"]),
        Route("/static/{name}", site.rendering.assets.respond),
        Route(METRICS, _metrics_of(site)),
        Route("/", home),
        Route("/admin", home),
    ]


def _metrics_of(site: Site) -> Callable[[Request], Response]:
    live = CallbackGauge("lastword_web_live_connections", "Streams.", lambda: site.streams.open)
    collectors = [LedgerCollector(site.config, site.ledger), site.traffic, live]

    def metrics(request: Request) -> Response:
        """What Prometheus scrapes: the same of the ledger as the scheduler tells, and our own."""
        shown = request.headers.get("authorization", "")
        if not may_scrape(site.config, site.config.web_addr, shown):
            return PlainTextResponse("show the token of LASTWORD_METRICS_TOKEN\n", 403)
        return Response(exposition(collectors), media_type=CONTENT_TYPE)

    return metrics


async def _reported(request: Request) -> Response:
    """A browser says that the content security policy has blocked something."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_REPORT:
            break
    said = body[:LARGEST_REPORT].decode(errors="replace")
    log_notice(logging.WARNING, "content_security_policy_report", report=ascii(said))
    return Response(status_code=204)


def _reach(ledger: Ledger) -> None:
    require_current_schema(ledger)
    with ledger.session():
        ledger.execute("SELECT 1")
