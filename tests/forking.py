"""Commands as forks of a process that has imported what they import: as real, and quick.

That process imports no test, opens nothing and has one thread, so that a fork begins as a new
process does: with the environment, folder, arguments and output that it is given.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

#: What `lastword` imports, on every floor. Nothing here reads the environment as it is imported.
OF_LASTWORD = (
    "lastword.cli.main",
    "lastword_middleware.commands",
    "lastword_scheduler.commands",
    "lastword_scheduler.dead_letters",
    "lastword_jobs.commands",
    "lastword_jobs.records_commands",
    "lastword_jobs.actors",
    "lastword_jobs.reconcilers",
)

#: Bytes of a request at most; an environment is some ten thousand.
LONGEST = 200_000


class Forks:
    """The asking side, for one command at a time. Ends with the process that made it.

    Args:
        module: what `python -m` would run.
        imported: what it imports each time.
    """

    def __init__(self, module: str, imported: Sequence[str]) -> None:
        self._asking, serving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with serving:
            self._server = subprocess.Popen(
                [sys.executable, "-m", __name__, str(serving.fileno()), module, *imported],
                pass_fds=[serving.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=Path(__file__).parents[1],
                # What a person's Ctrl-C ends is the test that waits, and then this.
                start_new_session=True,
            )
        atexit.register(self.end)

    def end(self) -> None:
        atexit.unregister(self.end)
        self._asking.close()
        self._server.kill()
        self._server.wait()

    def run(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, within_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end.

        Raises:
            TimeoutExpired: it took longer, and was killed.
        """
        request = {"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}
        answers, answering = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
        with answers, os.fdopen(out, "rb") as said, os.fdopen(err, "rb") as complained:
            with answering:
                fds = [out, err, answering.fileno()]
                socket.send_fds(self._asking, [json.dumps(request).encode()], fds)
            code = self._code(answers, within_s)
            said.seek(0)
            complained.seek(0)
            stdout, stderr = said.read().decode(), complained.read().decode()
        if code is None:
            raise subprocess.TimeoutExpired(list(arguments), within_s, stdout, stderr)
        return subprocess.CompletedProcess(list(arguments), code, stdout, stderr)

    def _code(self, answers: socket.socket, within_s: float) -> int | None:
        pid = int(answers.recv(LONGEST))
        answers.settimeout(within_s)
        try:
            return int(answers.recv(LONGEST))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            return None


def serve(requests: socket.socket, module: str) -> None:
    """Answer one request after the other until nobody is there to make any."""
    while True:
        words, fds, _, _ = socket.recv_fds(requests, LONGEST, 3)
        if not words:
            return
        out, err, answering = fds
        pid = os.fork()
        if pid == 0:
            requests.close()
            os.close(answering)
            _become(module, json.loads(words), out, err)
        with socket.socket(fileno=answering) as answers:
            os.close(out)
            os.close(err)
            answers.send(str(pid).encode())
            _, status = os.waitpid(pid, 0)
            # Whoever lost patience hears no more.
            with suppress(BrokenPipeError):
                answers.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(module: str, request: dict[str, Any], out: int, err: int) -> NoReturn:
    """What `python -m` does, from the moment at which the module has imported everything."""
    for fd, standard in ((out, 1), (err, 2)):
        os.dup2(fd, standard)
        os.close(fd)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    wanted = request["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["cwd"], *(folder for folder in wanted if folder)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.argv[1:] = request["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    descriptor, served, *names = sys.argv[1:]
    for name in names:
        importlib.import_module(name)
    # What is there now is never collected, by no fork either: it would copy every page of it.
    gc.freeze()
    serve(socket.socket(fileno=int(descriptor)), served)
