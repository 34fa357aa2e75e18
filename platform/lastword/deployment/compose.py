"""Services of Docker Compose that run one of our processes, and the Redis beside them."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from lastword.deployment.documents import Table, is_file, items, table, texts
from lastword.deployment.spans import compose_s
from lastword.deployment.units import Check, Read, Role, Unit, process_of

#: Docker's own default of stop_grace_period.
DEFAULT_STOP_S = 10.0

_REDIS = ("redis", "valkey")


def is_compose(document: Table) -> bool:
    """Whether a YAML document is a Compose file."""
    return "services" in document and "kind" not in document


def read_compose(name: str, folder: Path, document: Table, read: Read, *, has_init: bool) -> None:
    """Read the services of one file.

    Args:
        name: the file, for people.
        folder: where its `env_file`s are.
        document: its content.
        read: takes what is found.
        has_init: whether the image that is built here starts an init.
    """
    schedulers = 0
    for service, given in table(document["services"]).items():
        keys, place = table(given), f"{name}, service {service}"
        process = process_of([*_words(keys.get("entrypoint")), *_words(keys.get("command"))])
        if process is None:
            if str(keys.get("image", "")).split("/")[-1].split(":")[0] in _REDIS:
                _look_at_redis(place, keys, read)
            continue
        role, arguments = process
        read.units.append(
            Unit(
                place=place,
                role=role,
                arguments=arguments,
                environment=_environment(keys, folder),
                granted_s=_granted(place, keys, read),
                granted_by="stop_grace_period",
                signal=str(keys.get("stop_signal", "SIGTERM")),
            )
        )
        if role is Role.SCHEDULER:
            schedulers += _replicas(keys)
        _look(place, role, keys, read, has_init=has_init)
    if schedulers == 1:
        read.find(
            Check.TWO_SCHEDULERS,
            name,
            "there is one scheduler: while it is away nothing is healed",
            "run two, e.g. with deploy.replicas; one acts, the other takes over",
        )


def _granted(place: str, keys: Table, read: Read) -> float:
    if "stop_grace_period" not in keys:
        return DEFAULT_STOP_S
    try:
        return compose_s(keys["stop_grace_period"])
    except ValueError as error:
        said = f"stop_grace_period is {keys['stop_grace_period']!r}; expected {error}"
        read.find(Check.READABLE, place, said, "write it with its units")
        return DEFAULT_STOP_S


def _look(place: str, role: Role, keys: Table, read: Read, *, has_init: bool) -> None:
    if keys.get("init") is not True and not has_init:
        read.find(
            Check.INIT,
            place,
            "nothing reaps what its processes leave behind: a sentinel outlives its worker",
            "set init: true, or start an init in the image",
        )
    again = str(keys.get("restart", "no"))
    if again not in {"always", "unless-stopped"}:
        read.find(
            Check.STARTED_AGAIN,
            place,
            f"restart is {again}; a worker that has drained exits with 0 and has to be started "
            "again",
            "set restart: always",
        )
    if not table(keys.get("healthcheck")).get("test"):
        read.find(Check.PROBED, place, "it has no healthcheck", f"add one; see {_PROBES[role]}")


_PROBES = {
    Role.WORKER: "`lastword healthy FILE`",
    Role.SCHEDULER: "/healthz of its metrics address",
    Role.WEB: "/healthz of its address",
}


def _look_at_redis(place: str, keys: Table, read: Read) -> None:
    command = _words(keys.get("command"))
    pairs = dict(itertools.pairwise(command))
    for option, wanted, otherwise in (
        ("--maxmemory-policy", "noeviction", "when memory runs short it throws messages away"),
        ("--appendonly", "yes", "what was queued is gone with a restart, until it is sent again"),
    ):
        if pairs.get(option) != wanted:
            read.find(
                Check.BROKER_KEEPS,
                place,
                f"{option} is {pairs.get(option) or 'not given'}: {otherwise}",
                f"start it with {option} {wanted}",
            )


def _environment(keys: Table, folder: Path) -> dict[str, str]:
    given: dict[str, str] = {}
    named = keys.get("env_file")
    for file in [named] if isinstance(named, str) else texts(named):
        if is_file(folder / file):
            given |= _pairs((folder / file).read_text(errors="replace").splitlines())
    environment = keys.get("environment")
    if isinstance(environment, list):
        return given | _pairs(texts(environment))
    return given | {key: str(value) for key, value in table(environment).items()}


def _pairs(lines: list[str]) -> dict[str, str]:
    pairs = (line.strip().partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {key: value.strip("\"'") for key, equals, value in pairs if equals}


def _replicas(keys: Table) -> int:
    count = table(keys.get("deploy")).get("replicas", keys.get("scale", 1))
    return count if isinstance(count, int) else 1


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError:
            return value.split()
    return texts(value) if items(value) else []
