"""The scheduler's listener: metrics for Prometheus, and probes of its health."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from lastword.logs import log_notice

#: What a WSGI server hands to an application.
Environ = dict[str, Any]
StartResponse = Callable[..., Any]

#: Gives what is wrong; nothing if all is well.
Look = Callable[[], Sequence[str]]


_CLOSED = "show the token of LASTWORD_METRICS_TOKEN as `Authorization: Bearer TOKEN`"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SilentHandler(WSGIRequestHandler):
    # A scrape every few seconds is no news.
    def log_message(self, format: str, *args: object) -> None:
        del format, args


def application(
    collectors: Sequence[Collector],
    *,
    healthy: Look,
    ready: Look,
    may_scrape: Callable[[str], bool] = lambda authorization: True,
) -> Callable[..., Any]:
    """What is answered: `/metrics`, `/healthz` and `/readyz`; anything else is not there.

    A probe answers 200, or 503 with what is wrong.

    Args:
        collectors: what is scraped.
        healthy: what is wrong with this process.
        ready: why it cannot work.
        may_scrape: whether whoever shows this Authorization header may scrape.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    metrics = make_wsgi_app(registry)
    probes = {"/healthz": healthy, "/readyz": ready}

    def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics" and not may_scrape(environ.get("HTTP_AUTHORIZATION", "")):
            return _plain(start_response, "403 Forbidden", _CLOSED)
        if path == "/metrics":
            given: Iterable[bytes] = metrics(environ, start_response)
            return given
        if path not in probes:
            return _plain(start_response, "404 Not Found", "not here; /metrics, /healthz, /readyz")
        troubles = probes[path]()
        status = "503 Service Unavailable" if troubles else "200 OK"
        return _plain(start_response, status, "; ".join(troubles) or "well")

    return answer


def listen(app: Callable[..., Any], address: str) -> None:
    """Answer at `address`. One that is taken is told of: healing matters more."""
    host, _, port = address.rpartition(":")
    try:
        server = make_server(
            host.strip("[]"), int(port), app, server_class=_Server, handler_class=_SilentHandler
        )
    except OSError as error:
        log_notice(logging.WARNING, "metrics_unavailable", address=address, why=error)
        return
    threading.Thread(target=server.serve_forever, name="lastword-listener", daemon=True).start()


def _plain(start_response: StartResponse, status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{text}\n".encode()]
