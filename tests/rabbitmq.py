"""A RabbitMQ of one's own: Debian's server as a child process, on loopback and free ports."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pika
import pytest

from lastword.orphans import tied
from tests.processes import free_port
from tests.support import until

#: Where Debian has it. Its wrapper on the PATH insists on being root or `rabbitmq`.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

# It tells of every connection that is refused, at length.
logging.getLogger("pika").setLevel(logging.CRITICAL)

HOW = "install Debian's package rabbitmq-server (tests/install_servers.sh does, as root)"


@dataclass
class RabbitServer:
    """One node. It forgets nothing between `stop` and `start`."""

    folder: Path
    port: int
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "console").open("ab") as console:
            process = subprocess.Popen(
                tied([str(SERVER)]),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.processes.append(process)
        until(lambda: self._answers(process), within_s=60, what="rabbitmq-server")

    def stop(self) -> None:
        """End it as a machine that goes down does: at once."""
        process = self.processes.pop()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, (self.folder / "console").read_text()
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (pika.exceptions.AMQPError, OSError):
            time.sleep(0.1)
            return False
        return True


def _settings(folder: Path, port: int, names: int) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"lastword{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_ERLANG_COOKIE": secrets.token_hex(16),
        # Its register of nodes: one of its own, which ends with it.
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


@contextmanager
def running_rabbitmq() -> Iterator[RabbitServer]:
    """A node on loopback; nothing of it is left afterwards.

    Raises:
        FileNotFoundError: the server is not installed.
    """
    if not SERVER.exists():
        raise FileNotFoundError(f"there is no {SERVER}: {HOW}")
    # Its socket and node files want a short path.
    folder = Path(tempfile.mkdtemp(prefix="lw-rabbit-"))
    port, names = free_port(), free_port()
    (folder / "plugins").write_text("[].")
    environment = {**os.environ, **_settings(folder, port, names)}
    epmd = subprocess.Popen(tied([shutil.which("epmd") or "epmd"]), env=environment)
    server = RabbitServer(folder, port, environment)
    try:
        server.start()
        yield server
    finally:
        while server.processes:
            server.stop()
        epmd.kill()
        epmd.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    if not SERVER.exists():
        if os.environ.get("CI"):
            pytest.fail(f"the tests on RabbitMQ need it: {HOW}")
        pytest.skip(f"left out, for there is no RabbitMQ here: {HOW}")
    with running_rabbitmq() as server:
        yield server


@pytest.fixture
def rabbit(rabbit_server: RabbitServer) -> RabbitServer:
    """The server, with empty queues."""
    with pika.BlockingConnection(pika.URLParameters(rabbit_server.url)) as connection:
        channel = connection.channel()
        for queue in ("default", "default.DQ", "default.XQ"):
            channel.queue_delete(queue)
    return rabbit_server
