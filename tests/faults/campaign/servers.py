"""The servers of one episode: a Redis with or without AOF, and a small disk for SQLite."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import redis

from lastword.embedded import find_server
from lastword.orphans import tied
from tests.support import until

#: The disk on which SQLite's file is when it is to be full, in bytes.
SMALL_DISK = 24 * 2**20


class RedisServer:
    """A redis-server that can be killed and started again on what it has kept.

    Args:
        keeps: whether it has an append-only file, written with every command.
    """

    def __init__(self, *, keeps: bool) -> None:
        self._keeps = keeps
        # A socket's path may have 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="campaign-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> str:
        return str(self._folder / "redis.sock")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=self.socket)

    def start(self) -> None:
        command = [
            *(find_server(), "--port", "0", "--unixsocket", self.socket),
            *("--dir", str(self._folder), "--save", "", "--maxmemory-policy", "noeviction"),
            *("--appendonly", "yes" if self._keeps else "no", "--appendfsync", "always"),
        ]
        self._process = subprocess.Popen(tied(command), stdout=subprocess.DEVNULL)
        until(self._answers, what="Redis to answer")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        with suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own that is full soon; only root may have one.

    Raises:
        PermissionError: this is not root, or root without the right to mount.
    """
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "campaign", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        raise PermissionError("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
