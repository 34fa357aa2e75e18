"""Serving the local Graph: on loopback, on any free port, until it is stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

LOOPBACK = "127.0.0.1"


def serve(app: Starlette, *, port: int = 0, url_file: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        app: the server.
        port: the port; any free one when 0.
        url_file: where to write the base URL once the port is open.
    """
    with _listening(port) as listener:
        url = _url(listener)
        if url_file is not None:
            ready = url_file.with_suffix(".new")
            ready.write_text(url, encoding="utf-8")
            ready.replace(url_file)
        print(url, flush=True)  # noqa: T201 - what the person who started it needs to know
        uvicorn.Server(_config(app)).run([listener])


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve in a thread of this process; the base URL."""
    with _listening(0) as listener:
        server = uvicorn.Server(_config(app))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join()


def _config(app: Starlette) -> uvicorn.Config:
    # The application tells the time by its own clock, which may be a virtual one.
    return uvicorn.Config(app, log_config=None, access_log=False, date_header=False)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.create_server((LOOPBACK, port)) as listener:
        # asyncio sets it only on sockets that name their protocol, which this one does not; without
        # it every answer waits 40 ms for an acknowledgement between its headers and its body.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


def _url(listener: socket.socket) -> str:
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"
