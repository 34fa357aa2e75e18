"""Starting the `lastword` command in tests, and looking at what processes are there."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.forking import OF_LASTWORD, Forks

LASTWORD = (sys.executable, "-m", "lastword.cli")


#: Whether the kernel tells how another's child ended after its parent has reaped it.
KERNEL_TELLS = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)


def ended_by(cause: Mapping[str, Any], **how: object) -> bool:
    """Whether a cause of death says this; where the kernel cannot tell, that it says so."""
    told = all(cause.get(key) == value for key, value in how.items())
    return told or (not KERNEL_TELLS and cause.get("exit_status") == "unknown to this system")


def free_port() -> int:
    """A port of this host on which nothing listens.

    Not one that the kernel gives to connections: it could give it away before it is used.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with these LASTWORD_ variables and no others."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LASTWORD_")}
    named = {f"LASTWORD_{key.upper()}": str(value) for key, value in settings.items()}
    return {**kept, **named}


def lastword(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, within_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a fork of a process that has imported it already."""
    return _forks().run(arguments, env=env, cwd=cwd or Path.cwd(), within_s=within_s)


def lastword_anew(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, within_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as a shell does: in a new interpreter."""
    return subprocess.run(
        [*LASTWORD, *arguments],
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=within_s,
    )


@cache
def _forks() -> Forks:
    return Forks("lastword.cli", OF_LASTWORD)


def spawn(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.Popen[str]:
    """Start a command whose output is read line by line."""
    return subprocess.Popen(
        [*LASTWORD, *arguments],
        env={**env, "PYTHONUNBUFFERED": "1"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def processes_of(mark: str) -> dict[int, str]:
    """Processes, by id, whose environment, command or working folder has `mark` in it.

    A server that rewrites its title may lose its environment; its command or folder still tell.
    """
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            traces = (
                command + (folder / "environ").read_bytes() + bytes((folder / "cwd").readlink())
            )
        except OSError:
            continue
        if mark.encode() in traces and alive(int(folder.name)):
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found
