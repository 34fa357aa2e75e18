"""Walks the tutorial as a person would, and prints what each step took.

`python -m tests.documents.walk` does it in a fresh clone of what is committed, in an environment of
its own, typing what the page says and nothing else. Only ports that may be taken are changed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.documents.blocks import ROOT, blocks_of
from tests.documents.consoles import commands_of
from tests.documents.running import require_output

PAGE = "docs/tutorial.md"

#: What the page's servers listen at.
PORTS = ("6379", "8000")

#: Seconds after which a walk is given up, installing included.
WITHIN_S = 900.0

#: Seconds that what still runs at the end gets to stop.
STOP_WITHIN_S = 20.0

_MARK = "--the-command-has-ended--"


class Shell:
    """One shell, with everything that it starts in a session of its own.

    Args:
        folder: where it begins.
        env: its environment.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._limit = threading.Timer(WITHIN_S, self._signal, [signal.SIGKILL])
        self._limit.daemon = True

    def __enter__(self) -> Self:
        self._limit.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limit.cancel()
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WITHIN_S
        while self._signal(0) and time.monotonic() < deadline:
            self._process.poll()
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self._process.communicate()

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return False
        return True

    def run(self, line: str) -> tuple[str, int]:
        """Type a line; what it printed, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\nprintf '\\n%s %s\\n' {_MARK} $?\n")
        self._process.stdin.flush()
        printed: list[str] = []
        for text in self._process.stdout:
            if text.startswith(_MARK):
                return "".join(printed), int(text.split()[1])
            printed.append(text)
        raise AssertionError(f"the shell ended at {line}: {''.join(printed)}")


def walk(folder: Path) -> None:
    """Clone into a folder and do what the page says; prints each step with its seconds.

    Raises:
        AssertionError: a step failed, or printed something else than the page says.
    """
    clone = folder / "lastword"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    moved = {port: str(free_port()) for port in PORTS}
    began = time.monotonic()
    with Shell(clone, plain_environment(folder)) as shell:
        for block in blocks_of(PAGE):
            text = _with_ports(block.text, moved)
            if block.marker == "file":
                inside, _ = shell.run("pwd")
                Path(inside.strip(), block.told).write_text(text, encoding="utf-8")
                _say(0.0, f"save {block.told}")
            elif block.language == "console":
                _type(shell, text, block.place)
    _say(time.monotonic() - began, "all")


def _type(shell: Shell, text: str, place: str) -> None:
    for command in commands_of(text):
        began = time.monotonic()
        printed, code = shell.run(command.line)
        _say(time.monotonic() - began, command.line)
        # `wait` gives what a background process ended with, and they were killed.
        assert code == 0 or command.line == "wait", f"{place}: {command.line}: {code}: {printed}"
        require_output(command.output, printed, f"{place}: {command.line}")


def _with_ports(text: str, moved: dict[str, str]) -> str:
    for port, other in moved.items():
        text = text.replace(port, other)
    return text


def _say(seconds: float, line: str) -> None:
    sys.stdout.write(f"{seconds:7.1f} s  {line}\n")
    sys.stdout.flush()


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def plain_environment(home: Path) -> dict[str, str]:
    """What a shell has before anything of ours: no virtual environment, no settings."""
    venv = os.environ.get("VIRTUAL_ENV", sys.prefix)
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LASTWORD_", "PYTHON", "VIRTUAL_ENV", "COVERAGE", "PYTEST"))
    }
    paths = [path for path in kept["PATH"].split(os.pathsep) if not path.startswith(venv)]
    return {**kept, "PATH": os.pathsep.join(paths), "COLUMNS": "160", "TMPDIR": str(home)}


def main() -> None:
    """Walk it in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="lastword-walk-") as folder:
        walk(Path(folder))


if __name__ == "__main__":
    main()
