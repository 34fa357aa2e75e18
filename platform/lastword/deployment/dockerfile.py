"""The image: what its process 1 is, as whom it runs, and that no source lies where it starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lastword.deployment.documents import files_below
from lastword.deployment.units import Check, Read

_INITS = frozenset({"tini", "dumb-init", "catatonit"})


@dataclass(slots=True)
class _Stage:
    user: str = "root"
    folder: str = "/"
    signal: str = "SIGTERM"
    entrypoint: str = ""
    command: str = ""
    copied_to: list[str] = field(default_factory=list)


def read_dockerfiles(root: Path, read: Read) -> bool:
    """Read every Dockerfile below `root`; whether there is one and all of them start an init."""
    files = files_below(root, "Dockerfile", "*.Dockerfile")
    have_init = [_file(file, str(file.relative_to(root)), read) for file in files]
    return bool(have_init) and all(have_init)


def _file(file: Path, name: str, read: Read) -> bool:
    stages = _stages(file.read_text(errors="replace"))
    if not stages:
        read.find(Check.READABLE, name, "it has no FROM", "begin it with one")
        return False
    last = stages[-1]
    if len(stages) == 1:
        said = "it has one stage: what builds the image, and its caches, would be shipped"
        read.find(Check.STAGES, name, said, "build in one stage, and copy the result into another")
    if last.user.partition(":")[0] in {"root", "0", ""}:
        read.find(Check.NOT_ROOT, name, "its processes run as root", "end it with USER and an id")
    inside = [place for place in last.copied_to if _is_inside(place, last.folder)]
    if inside:
        read.find(
            Check.NO_SOURCE,
            name,
            f"{', '.join(inside)} is copied into the working directory {last.folder}: a folder "
            "named platform there hides the standard library's",
            "copy the virtual environment elsewhere, and start in an empty directory",
        )
    if last.signal not in {"SIGTERM", "15"}:
        said = f"STOPSIGNAL is {last.signal}; workers drain at SIGTERM"
        read.find(Check.STOP_SIGNAL, name, said, "set STOPSIGNAL SIGTERM")
    return _look_at_process_1(name, last, read)


def _look_at_process_1(name: str, stage: _Stage, read: Read) -> bool:
    words = _exec_form(stage.entrypoint or stage.command)
    shells = [text for text in (stage.entrypoint, stage.command) if text and not _exec_form(text)]
    if shells:
        said = f"{shells[0]!r} is started by a shell, which keeps the signal to itself"
        read.find(Check.EXEC_FORM, name, said, 'write it as ["WORD", "WORD"]')
    has_init = bool(words) and PurePosixPath(words[0]).name in _INITS
    if not has_init:
        read.find(
            Check.INIT,
            name,
            "process 1 is no init: nothing reaps what its processes leave behind",
            'begin ENTRYPOINT with an init, e.g. ["tini", "--", "lastword"]',
        )
    return has_init


def _stages(text: str) -> list[_Stage]:
    stages: list[_Stage] = []
    for word, rest in _instructions(text):
        if word == "FROM":
            stages.append(_Stage())
        if not stages:
            continue
        stage = stages[-1]
        match word:
            case "USER":
                stage.user = rest
            case "WORKDIR":
                stage.folder = str(PurePosixPath(stage.folder) / rest)
            case "STOPSIGNAL":
                stage.signal = rest
            case "ENTRYPOINT":
                stage.entrypoint = rest
            case "CMD":
                stage.command = rest
            case "COPY" | "ADD":
                target = [part for part in rest.split() if not part.startswith("--")][-1:]
                stage.copied_to += [str(PurePosixPath(stage.folder) / part) for part in target]
    return stages


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, _, rest in found]


def _exec_form(text: str) -> Sequence[str]:
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return [str(word) for word in words] if isinstance(words, list) else ()


def _is_inside(place: str, folder: str) -> bool:
    # Everything is inside the root of the file system, which is nobody's working directory here.
    inner, outer = PurePosixPath(place), PurePosixPath(folder)
    return inner == outer or (folder != "/" and outer in inner.parents)
