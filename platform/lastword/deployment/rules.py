"""The chain of a deployment: what a process needs to stop, and what its platform grants it."""

from __future__ import annotations

from lastword.checks import Finding
from lastword.config import DRAIN_MARGIN_S, EXIT_MARGIN_S, Config
from lastword.deployment.units import Check, Read, Role, Unit, option
from lastword.readers import seconds_value

#: Seconds that a scheduler or a web needs to stop: 10 for what is under way, and to be gone.
OTHERS_NEED_S = 15.0


def hold_to_the_chain(config: Config, read: Read) -> None:
    """Look at every unit that was read."""
    for unit in read.units:
        if unit.signal not in {"SIGTERM", "15"}:
            said = f"it is stopped with {unit.signal}; everything of ours drains at SIGTERM"
            read.find(Check.STOP_SIGNAL, unit.place, said, "stop it with SIGTERM")
        if "--allow-unsafe-timing" in unit.arguments or _is_yes(
            unit, "LASTWORD_ALLOW_UNSAFE_TIMING"
        ):
            said = "it may start although its durations do not fit"
            read.find(Check.SAFE_TIMING, unit.place, said, "mend the durations instead")
        if unit.role is Role.WORKER:
            _worker(unit, config, read)
        elif unit.granted_s < OTHERS_NEED_S:
            read.find(
                Check.DRAIN_IN_STOP_WAIT,
                unit.place,
                f"{unit.granted_by} grants {unit.granted_s:g} s; it needs {OTHERS_NEED_S:g}",
                f"set {unit.granted_by} to at least {OTHERS_NEED_S:g} s",
            )


def _worker(unit: Unit, config: Config, read: Read) -> None:
    try:
        shutdown_s = _shutdown_s(unit, config)
        told_s = _seconds(unit.environment.get("LASTWORD_STOP_WAIT", config.stop_wait))
        processes = _processes(unit)
    except ValueError as error:
        read.find(Check.READABLE, unit.place, f"{error}", "write durations as numbers")
        return
    if processes != 1:
        said = f"it starts {processes} processes; when one is killed, Dramatiq stops the others too"
        read.find(Check.ONE_PROCESS, unit.place, said, "start one process a unit, and more units")
    limits = {
        policy.operation: policy.time_limit for policy in config.policies.values() if policy.enabled
    }
    longest = max(limits, key=lambda name: limits[name], default=None)
    if longest is not None and limits[longest] + DRAIN_MARGIN_S > shutdown_s:
        read.find(
            Check.LIMIT_IN_DRAIN,
            unit.place,
            f'its worker_shutdown_timeout is {shutdown_s:g} s; operation "{longest}" may work for '
            f"{limits[longest]:g}",
            f"raise it to at least {limits[longest] + DRAIN_MARGIN_S:g}",
        )
    if shutdown_s + EXIT_MARGIN_S > unit.granted_s:
        read.find(
            Check.DRAIN_IN_STOP_WAIT,
            unit.place,
            f"{unit.granted_by} grants {unit.granted_s:g} s; its worker_shutdown_timeout is "
            f"{shutdown_s:g} s, and it needs {EXIT_MARGIN_S:g} more to be gone",
            f"set {unit.granted_by} to at least {shutdown_s + EXIT_MARGIN_S:g} s",
        )
    if told_s > unit.granted_s:
        read.find(
            Check.STOP_WAIT_GRANTED,
            unit.place,
            f"it is told a stop_wait of {told_s:g} s; {unit.granted_by} grants "
            f"{unit.granted_s:g} s",
            f"set {unit.granted_by} to at least {told_s:g} s",
        )


def _shutdown_s(unit: Unit, config: Config) -> float:
    milliseconds = option(unit.arguments, "--worker-shutdown-timeout")
    if milliseconds is not None:
        return _seconds(milliseconds) / 1000
    given = unit.environment.get("LASTWORD_WORKER_SHUTDOWN_TIMEOUT")
    return config.worker_shutdown_timeout if given is None else _seconds(given)


def _seconds(value: object) -> float:
    try:
        return seconds_value(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not {error}") from None


def _processes(unit: Unit) -> int:
    text = option(unit.arguments, "--processes") or option(unit.arguments, "-p") or "1"
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{text!r} is no number of processes")
    return int(text)


def _is_yes(unit: Unit, name: str) -> bool:
    return unit.environment.get(name, "").lower() in {"true", "yes", "1"}


def nothing_found(directory: str) -> Finding:
    """What is said of a folder in which nothing keeps a process of ours."""
    return Finding(
        f"{directory} has no unit, program, service or workload that starts `lastword worker`, "
        "`scheduler` or `web`",
        "name the folder with the files of the deployment",
        rule=Check.READABLE,
    )
