"""A TCP proxy that a test owns: what passes through it can be delayed, held or cut."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

#: Bytes that are passed on at once.
CHUNK = 65_536


class Proxy:
    """Listens on a port of its own, and passes on to a socket file.

    Args:
        upstream: the socket file of a real server.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = threading.Event()
        self._open.set()
        self._is_cut = False
        self._delay_s = 0.0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._is_closed = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_closed = True
        # Whoever only closes it leaves the thread in accept() where it is.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._open.set()
        self.drop()

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self._is_cut = True
        self.drop()

    def hold(self) -> None:
        """Pass on nothing and end nothing: what a network does that has lost its way."""
        self._open.clear()

    def delay(self, seconds: float) -> None:
        """Pass on everything this much later."""
        self._delay_s = seconds

    def heal(self) -> None:
        """Be a good network again."""
        self._is_cut = False
        self._delay_s = 0.0
        self._open.set()

    def drop(self) -> None:
        """End every connection that is there now; new ones are let through."""
        with self._lock:
            dropped, self._sockets = self._sockets, set()
        for one in dropped:
            _end(one)

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                _end(client)
                continue
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._upstream)
            except OSError:
                _end(client)
                _end(server)
                continue
            with self._lock:
                self._sockets |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                if self._delay_s:
                    time.sleep(self._delay_s)
                self._open.wait()
                target.sendall(chunk)
        with self._lock:
            self._sockets -= {source, target}
        _end(source)
        _end(target)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
