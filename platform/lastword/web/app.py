"""The web as an ASGI application. It reads the ledger, and works with broker and provider down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from lastword.errors import LastwordError
from lastword.storage.ledger import Ledger
from lastword.storage.schema import require_current_schema

#: Seconds that a probe waits for the ledger.
READY_WITHIN_S = 2.0


def create_app(ledger: Ledger) -> Starlette:
    """The application over one ledger."""
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
            reader.submit(_reach, ledger).result(READY_WITHIN_S)
        except LastwordError as error:
            return PlainTextResponse(f"{error.seen}\n", status_code=503)
        except TimeoutError:
            said = f"the ledger did not answer within {READY_WITHIN_S:g} s\n"
            return PlainTextResponse(said, status_code=503)
        return PlainTextResponse("well\n")

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz)])


def _reach(ledger: Ledger) -> None:
    require_current_schema(ledger)
    with ledger.session():
        ledger.execute("SELECT 1")
