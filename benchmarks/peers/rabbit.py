"""A RabbitMQ of the benchmark's own, for the peer that knows no other broker."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pika

from lastword.orphans import tied

#: Where Debian has it. Its wrapper on the PATH insists on being root or `rabbitmq`.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

#: Seconds it gets to start.
START_WITHIN_S = 60.0


@contextmanager
def running_rabbitmq() -> Iterator[str]:
    """A node on loopback, and its URL; nothing of it is left afterwards.

    Raises:
        FileNotFoundError: the server is not installed.
    """
    if not SERVER.exists():
        raise FileNotFoundError(f"there is no {SERVER}")
    # Its socket and node files want a short path.
    folder = Path(tempfile.mkdtemp(prefix="lw-rabbit-"))
    port, names = _free_port(), _free_port()
    (folder / "plugins").write_text("[].")
    environment = {**os.environ, **_settings(folder, port, names)}
    # Its register of nodes: one of its own, which ends with it.
    processes = [_started([shutil.which("epmd") or "epmd"], environment, folder)]
    try:
        processes.append(_started([str(SERVER)], environment, folder))
        url = f"amqp://guest:guest@127.0.0.1:{port}"
        _await_answer(url)
        yield url
    finally:
        for process in reversed(processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _settings(folder: Path, port: int, names: int) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(_free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_ERLANG_COOKIE": secrets.token_hex(16),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


def _started(
    command: list[str], environment: dict[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    with (folder / "console").open("ab") as console:
        return subprocess.Popen(  # noqa: S603 - a server of the system's
            tied(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            pika.BlockingConnection(pika.URLParameters(url)).close()
            return
        except (pika.exceptions.AMQPError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
