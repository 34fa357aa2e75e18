"""What the files of every platform come to: units that keep one of our processes, and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath

from lastword.checks import Finding


class Role(StrEnum):
    """The processes that a deployment keeps."""

    WORKER = "worker"
    SCHEDULER = "scheduler"
    WEB = "web"


class Check(StrEnum):
    """What is asked of a deployment; the rule that a finding names."""

    READABLE = "readable"
    LIMIT_IN_DRAIN = "limit-in-drain"
    DRAIN_IN_STOP_WAIT = "drain-in-stop-wait"
    STOP_WAIT_GRANTED = "stop-wait-granted"
    SAFE_TIMING = "safe-timing"
    STOP_SIGNAL = "stop-signal"
    MAIN_PROCESS_ALONE = "main-process-alone"
    WHOLE_GROUP_KILLED = "whole-group-killed"
    ONE_PROCESS = "one-process"
    STARTED_AGAIN = "started-again"
    WATCHDOG = "watchdog"
    PROBED = "probed"
    PATIENT_PROBE = "patient-probe"
    TWO_SCHEDULERS = "two-schedulers"
    DISRUPTION_BUDGET = "disruption-budget"
    NOT_ROOT = "not-root"
    INIT = "init"
    EXEC_FORM = "exec-form"
    STAGES = "stages"
    NO_SOURCE = "no-source"
    BROKER_KEEPS = "broker-keeps"


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that keeps one of our processes.

    Attributes:
        place: the file and the name in it, for people.
        role: which process.
        arguments: what follows the role on its command line.
        environment: the variables it is given, as far as the files say.
        granted_s: seconds from the signal to the kill.
        granted_by: the key that says so, and what it is called if nobody wrote it.
        signal: what it is told to stop with.
    """

    place: str
    role: Role
    arguments: Sequence[str]
    environment: Mapping[str, str]
    granted_s: float
    granted_by: str
    signal: str = "SIGTERM"


@dataclass(slots=True)
class Read:
    """What was read of a deployment.

    Attributes:
        units: what keeps our processes.
        findings: what is wrong with the files themselves.
    """

    units: list[Unit] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def find(self, check: Check, place: str, said: str, mend: str) -> None:
        """Note one thing that is wrong."""
        self.findings.append(Finding(f"{place}: {said}", mend, rule=check))


def process_of(command: Sequence[str]) -> tuple[Role, list[str]] | None:
    """Which of our processes a command line starts, and with what arguments; None if none."""
    words = list(command)
    for place, word in enumerate(words):
        if word.startswith("-") or word not in set(Role):
            continue
        before = [PurePath(item).name for item in words[:place]]
        # An image's entrypoint may stand before it, out of sight.
        if not before or before[-1] in {"lastword", "lastword.cli"}:
            return Role(word), words[place + 1 :]
    return None


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option, as `--name value` or `--name=value`."""
    for place, word in enumerate(arguments):
        if word == name and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None
