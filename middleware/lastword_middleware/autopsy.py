"""What killed a process that is not our child: its exit status, and whether memory had run out."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

#: Seconds in which the kernel, or the parent that reaps the process, makes its exit status known.
STATUS_WITHIN_S = 0.3

# From linux/pidfd.h, Linux 6.15: PIDFD_GET_INFO on a struct of 64 bytes, whose first member is a
# mask in which bit 3 asks for the exit status, and whose last is that status.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_INFO = struct.Struct("<Q52xi")

#: The field of /proc/PID/stat with the exit status, and that with the state; the first is 1.
_EXIT_CODE_FIELD, _STATE_FIELD = 52, 3

_STOPPED = frozenset("Tt")


def open_process(pid: int) -> int | None:
    """A handle on a process that no other process can take over; None where there is none.

    That is where the system has no handles, or the process has ended.
    """
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def is_stopped(pid: int) -> bool:
    """Whether a process is held by SIGSTOP or a debugger: it lives, and it does nothing."""
    fields = _stat(pid)
    return bool(fields) and fields[_STATE_FIELD - 1] in _STOPPED


def oom_kills(pid: int | str = "self") -> int | None:
    """How many processes of a process's control group were killed for memory; None if unreadable.

    Read from `memory.events` (cgroup v2) or `memory.oom_control` (v1).
    """
    for file in _memory_files(pid):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.strip().isdigit():
                return int(value)
    return None


def cause_of_death(pid: int, handle: int | None, *, oom_kills_before: int | None) -> dict[str, Any]:
    """What is known of the end of a process, as JSON values: `signal` or `exit_code`, `oom_kill`.

    Args:
        pid: the process, which has ended.
        handle: what `open_process` gave while it lived.
        oom_kills_before: what `oom_kills` said while it lived.
    """
    status = _status(pid, handle)
    cause: dict[str, Any] = {"seen": "its process ended"}
    if status is None:
        cause["exit_status"] = "unknown to this system"
    elif os.WIFSIGNALED(status):
        cause["signal"] = signal.Signals(os.WTERMSIG(status)).name
    else:
        cause["exit_code"] = os.waitstatus_to_exitcode(status)
    now = oom_kills()
    if cause.get("signal") == "SIGKILL" and now is not None and oom_kills_before is not None:
        cause["oom_kill"] = now > oom_kills_before
    return cause


def _status(pid: int, handle: int | None) -> int | None:
    deadline = time.monotonic() + STATUS_WITHIN_S
    while True:
        # Before its parent has reaped it the first tells, and after that the second.
        status = _status_of_zombie(pid)
        if status is None and handle is not None:
            status = _status_by_handle(handle)
        if status is not None or time.monotonic() > deadline:
            return status
        time.sleep(0.005)


def _status_of_zombie(pid: int) -> int | None:
    fields = _stat(pid)
    if len(fields) < _EXIT_CODE_FIELD or fields[_STATE_FIELD - 1] != "Z":
        return None
    return int(fields[_EXIT_CODE_FIELD - 1])


def _status_by_handle(handle: int) -> int | None:
    try:
        import fcntl

        request = _INFO.pack(_PIDFD_INFO_EXIT, 0)
        mask, status = _INFO.unpack(fcntl.ioctl(handle, _PIDFD_GET_INFO, request))
    except (ImportError, OSError):
        return None
    return int(status) if mask & _PIDFD_INFO_EXIT else None


def _stat(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name in parentheses may hold spaces and parentheses of its own.
        before, _, after = text.rpartition(")")
        return [str(pid), before.partition("(")[2], *after.split()]
    return []


def _memory_files(pid: int | str) -> list[Path]:
    files: list[Path] = []
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
        for line in lines:
            _, controllers, path = line.split(":", 2)
            inside = path.lstrip("/")
            if not controllers:
                files.append(Path("/sys/fs/cgroup") / inside / "memory.events")
            elif "memory" in controllers.split(","):
                root = Path("/sys/fs/cgroup/memory")
                # Inside a container the path is the host's, and the group itself is mounted.
                files += [root / inside / "memory.oom_control", root / "memory.oom_control"]
    return files
