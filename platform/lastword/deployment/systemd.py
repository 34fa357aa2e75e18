"""Units of systemd: services that run one of our processes, with their drop-ins."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lastword.config import Config
from lastword.deployment.documents import files_below, is_file
from lastword.deployment.spans import systemd_s
from lastword.deployment.units import Check, Read, Role, Unit, process_of

#: systemd.service(5), DefaultTimeoutStopSec.
DEFAULT_STOP_S = 90.0

#: Seconds for which C code may hold the interpreter's lock, and all threads with it.
GIL_HOLD_S = 60.0

#: Heartbeats that a watchdog has to wait for.
BEATS = 3


def read_systemd(root: Path, config: Config, read: Read) -> None:
    """Read every service below `root`."""
    for file in files_below(root, "*.service"):
        _service(file, str(file.relative_to(root)), config, read)


def _service(file: Path, name: str, config: Config, read: Read) -> None:
    keys: dict[str, list[str]] = defaultdict(list)
    for part in (file, *sorted(file.with_name(f"{file.name}.d").glob("*.conf"))):
        for line, section, key, value in _lines(part):
            if key is None:
                read.find(
                    Check.READABLE,
                    f"{name}:{line}",
                    f"{value!r} is no section and no assignment",
                    "write KEY=VALUE below a [Section]",
                )
            elif section == "Service":
                # An empty assignment takes back what was said before, systemd.unit(5).
                keys[key] = [*keys[key], value] if value else []
    command = next((_words(value) for value in keys["ExecStart"]), [])
    process = process_of(command)
    if process is None:
        return
    role, arguments = process
    granted_s = _granted(keys, name, read)
    read.units.append(
        Unit(
            place=name,
            role=role,
            arguments=arguments,
            environment=_environment(keys, file.parent),
            granted_s=granted_s,
            granted_by="TimeoutStopSec",
            signal=_last(keys, "KillSignal") or "SIGTERM",
        )
    )
    _look(keys, name, role, config, read)


def _granted(keys: dict[str, list[str]], name: str, read: Read) -> float:
    text = _last(keys, "TimeoutStopSec", "TimeoutSec")
    if not text:
        return DEFAULT_STOP_S
    try:
        return systemd_s(text)
    except ValueError as error:
        read.find(
            Check.READABLE, name, f"TimeoutStopSec={text}; expected {error}", "write it as seconds"
        )
        return DEFAULT_STOP_S


def _look(keys: dict[str, list[str]], name: str, role: Role, config: Config, read: Read) -> None:
    kill_mode = _last(keys, "KillMode") or "control-group"
    if role is Role.WORKER and kill_mode != "mixed":
        read.find(
            Check.MAIN_PROCESS_ALONE,
            name,
            f"KillMode={kill_mode}; the signal has to go to the main process alone, which passes "
            "it on: a worker that hears it twice kills itself",
            "set KillMode=mixed",
        )
    restart = _last(keys, "Restart") or "no"
    if restart != "always":
        read.find(
            Check.STARTED_AGAIN,
            name,
            f"Restart={restart}; a worker that has drained exits with 0 and has to be started "
            "again",
            "set Restart=always",
        )
    user = _last(keys, "User") or ("nobody" if _is_yes(keys, "DynamicUser") else "root")
    if user in {"root", "0"}:
        read.find(Check.NOT_ROOT, name, "it runs as root", "set User= or DynamicUser=yes")
    if role is not Role.WEB:
        _look_at_watchdog(keys, name, config, read)


def _look_at_watchdog(keys: dict[str, list[str]], name: str, config: Config, read: Read) -> None:
    text = _last(keys, "WatchdogSec")
    try:
        watchdog_s = systemd_s(text) if text else float("inf")
    except ValueError as error:
        read.find(Check.READABLE, name, f"WatchdogSec={text}; expected {error}", "mend it")
        return
    least_s = max(BEATS * config.heartbeat_interval, GIL_HOLD_S)
    if watchdog_s < least_s:
        read.find(
            Check.WATCHDOG,
            name,
            f"WatchdogSec={text} is below {least_s:g} s: it would kill what only computes, or "
            "misses a heartbeat",
            f"set WatchdogSec to {2 * least_s:g}, or leave it out",
        )
    if text and (_last(keys, "Type") != "notify" or _last(keys, "NotifyAccess") != "all"):
        read.find(
            Check.WATCHDOG,
            name,
            "WatchdogSec needs a process that is listened to, and it is the worker's own process "
            "that speaks, not the main one",
            "set Type=notify and NotifyAccess=all",
        )


def _lines(file: Path) -> Iterator[tuple[int, str, str | None, str]]:
    section, pending, began = "", "", 0
    for number, raw in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if not pending and raw.lstrip()[:1] in {"#", ";", ""}:
            continue
        began = began if pending else number
        pending += raw.strip()
        if pending.endswith("\\"):
            pending = f"{pending[:-1]} "
            continue
        text, pending = pending, ""
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
            continue
        key, equals, value = text.partition("=")
        yield (
            began,
            section,
            (key.strip() if equals and section else None),
            (value.strip() if equals and section else text),
        )


def _environment(keys: dict[str, list[str]], folder: Path) -> dict[str, str]:
    given: dict[str, str] = {}
    for named in keys["EnvironmentFile"]:
        # The one that is shipped beside the unit, wherever it is put on the host.
        beside = folder / Path(named.removeprefix("-")).name
        if is_file(beside):
            given |= _assignments(beside.read_text(errors="replace").splitlines())
    for line in keys["Environment"]:
        given |= _assignments(_words(line))
    return given


def _assignments(lines: list[str]) -> dict[str, str]:
    pairs = (line.strip().partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name: value.strip("\"'") for name, equals, value in pairs if equals}


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    # Prefixes of systemd.service(5) before the path of a command.
    return [words[0].lstrip("@-:+!"), *words[1:]] if words else []


def _last(keys: dict[str, list[str]], *names: str) -> str:
    return next((keys[name][-1] for name in names if keys[name]), "")


def _is_yes(keys: dict[str, list[str]], name: str) -> bool:
    return _last(keys, name).lower() in {"yes", "true", "on", "1"}
