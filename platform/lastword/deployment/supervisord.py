"""Programs of supervisor that run one of our processes."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from lastword.deployment.documents import files_below
from lastword.deployment.spans import whole_s
from lastword.deployment.units import Check, Read, Role, Unit, process_of

#: supervisor's own default of stopwaitsecs.
DEFAULT_STOP_S = 10.0

_PAIR = re.compile(r"([A-Za-z_]\w*)\s*=\s*(\"[^\"]*\"|'[^']*'|[^,]*)")


def read_supervisord(root: Path, read: Read) -> None:
    """Read every program below `root`."""
    for file in files_below(root, "*.conf", "supervisord*.ini"):
        if file.parent.suffix == ".d" and file.parent.name.endswith(".service.d"):
            continue
        _file(file, str(file.relative_to(root)), read)


def _file(file: Path, name: str, read: Read) -> None:
    # As supervisor reads it: no interpolation, `;` begins a comment after a space.
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",), strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8"), source=name)
    except (configparser.Error, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        read.find(Check.READABLE, name, f"it cannot be read: {said}", "mend it as supervisor asks")
        return
    for section in parser.sections():
        if section.startswith("program:"):
            _program(f"{name} [{section}]", dict(parser.items(section)), read)


def _program(place: str, keys: Mapping[str, str], read: Read) -> None:
    process = process_of(_words(keys.get("command", "")))
    if process is None:
        return
    role, arguments = process
    granted_s = DEFAULT_STOP_S
    if "stopwaitsecs" in keys:
        try:
            granted_s = whole_s(keys["stopwaitsecs"])
        except ValueError as error:
            said = f"stopwaitsecs is {keys['stopwaitsecs']!r}; expected {error}"
            read.find(Check.READABLE, place, said, "write it as seconds")
    signal = keys.get("stopsignal", "TERM").split(",")[0].strip().upper()
    read.units.append(
        Unit(
            place=place,
            role=role,
            arguments=arguments,
            environment={
                key: value.strip().strip("\"'")
                for key, value in _PAIR.findall(keys.get("environment", ""))
            },
            granted_s=granted_s,
            granted_by="stopwaitsecs",
            signal=signal if signal.startswith("SIG") else f"SIG{signal}",
        )
    )
    _look(place, role, keys, read)


def _look(place: str, role: Role, keys: Mapping[str, str], read: Read) -> None:
    stops_group = _is_yes(keys, "stopasgroup")
    if role is Role.WORKER and stops_group:
        read.find(
            Check.MAIN_PROCESS_ALONE,
            place,
            "stopasgroup=true; the signal has to go to the main process alone, which passes it on: "
            "a worker that hears it twice kills itself",
            "set stopasgroup=false",
        )
    if not (stops_group or _is_yes(keys, "killasgroup")):
        read.find(
            Check.WHOLE_GROUP_KILLED,
            place,
            "killasgroup is not true; the worker process would outlive a main process that is "
            "killed",
            "set killasgroup=true",
        )
    again = keys.get("autorestart", "unexpected").lower()
    if again not in {"true", "yes", "1", "on"}:
        read.find(
            Check.STARTED_AGAIN,
            place,
            f"autorestart={again}; a worker that has drained exits with 0 and has to be started "
            "again",
            "set autorestart=true",
        )
    if keys.get("user", "").strip() in {"", "root", "0"}:
        read.find(Check.NOT_ROOT, place, "it runs as whoever runs supervisord", "set user=")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _is_yes(keys: Mapping[str, str], name: str) -> bool:
    return keys.get(name, "false").strip().lower() in {"true", "yes", "1", "on"}
