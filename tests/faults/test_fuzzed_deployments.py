"""Whatever a folder of deployment files holds: it is read, or said to be unreadable, and no crash.

What parses here: `deployment.systemd` (units, drop-ins, environment files), `supervisord` beside it
(INI), `deployment.documents` with `compose` and `kubernetes` (YAML), `deployment.dockerfile`, and
`deployment.rules` (numbers of command lines and of environments).
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from lastword.config import Config
from lastword.deployment.reading import read_deployment
from lastword.deployment.units import Check
from tests.fuzzing import ODD_TEXTS, fuzzed, nested, utf8, values

words = st.one_of(utf8, st.sampled_from(["worker", "lastword worker", "10", "1m30s", "[a", "'a"]))


def read(files: dict[str, bytes]) -> None:
    """Read a folder of these files; whatever is found can be shown."""
    folder = Path(tempfile.mkdtemp())
    try:
        for name, content in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        found = read_deployment(folder, Config())
    finally:
        shutil.rmtree(folder)
    for finding in found.findings:
        assert finding.rule in set(Check)
        assert finding.said
        assert finding.mend
        json.dumps([finding.said, finding.mend])
    assert not any(math.isnan(unit.granted_s) for unit in found.units)
    # Silence means that everything that keeps a process of ours was understood.
    assert found.units or found.findings


KEYS = (
    *("ExecStart", "TimeoutStopSec", "TimeoutSec", "KillMode", "Restart", "User", "WatchdogSec"),
    *("Environment", "EnvironmentFile", "Type", "NotifyAccess", "KillSignal", "DynamicUser"),
)
COMMAND = "/opt/lastword worker reports"

units = st.builds(
    lambda lines, raw: "\n".join(["[Service]", f"ExecStart={COMMAND}", *lines, raw]),
    st.lists(st.builds("{}={}".format, st.sampled_from(KEYS), words), max_size=6),
    utf8,
)


@given(text=units, drop_in=units)
@example(text=f"[Service]\nExecStart={COMMAND}\nEnvironmentFile={'a' * 3000}", drop_in="")
@example(text=f"[Service]\nExecStart={COMMAND} --processes {'9' * 5000}", drop_in="")
@example(text=f"[Service]\nExecStart={COMMAND}\nEnvironment=LASTWORD_STOP_WAIT=nan", drop_in="")
@fuzzed(80, long=10_000)
def test_any_unit_of_systemd_is_read(text: str, drop_in: str) -> None:
    read({"a.service": text.encode(), "a.service.d/b.conf": drop_in.encode()})


PROGRAM_KEYS = (
    *("command", "stopwaitsecs", "stopsignal", "stopasgroup", "killasgroup", "autorestart"),
    *("user", "environment"),
)


@given(
    keys=st.dictionaries(st.sampled_from(PROGRAM_KEYS), words, max_size=6),
    raw=utf8,
)
@fuzzed(80, long=10_000)
def test_any_program_of_supervisor_is_read(keys: dict[str, str], raw: str) -> None:
    lines = [f"{key}={value}" for key, value in {"command": COMMAND, **keys}.items()]
    read({"a.conf": "\n".join(["[program:a]", *lines, raw]).encode()})


SERVICE_KEYS = (
    *("command", "entrypoint", "image", "stop_grace_period", "stop_signal", "init", "restart"),
    *("healthcheck", "environment", "env_file", "deploy", "scale"),
)
services = st.dictionaries(st.sampled_from(SERVICE_KEYS), st.one_of(values, words), max_size=5)


def yaml_of(value: Any) -> bytes:
    # JSON is YAML, but for halves of characters, which no file holds.
    return json.dumps(value).encode().replace(b"\\ud", b"\\\\ud")


@given(services=st.dictionaries(words, st.one_of(services, values), min_size=1, max_size=3))
@example(services={"a": {"command": COMMAND, "restart": ["a"]}})
@example(services={"a": {"command": COMMAND, "env_file": "a" * 3000}})
@example(services={"a": {"command": COMMAND, "env_file": "a\0"}})
@fuzzed(100, long=10_000)
def test_any_compose_file_is_read(services: dict[str, Any]) -> None:
    read({"compose.yaml": yaml_of({"services": services})})


CONTAINER_KEYS = (
    *("command", "args", "lifecycle", "livenessProbe", "securityContext", "env", "envFrom"),
)
POD_KEYS = ("terminationGracePeriodSeconds", "restartPolicy", "securityContext", "containers")
probes = st.fixed_dictionaries({}, optional={"periodSeconds": values, "failureThreshold": values})
sleeps = st.one_of(
    st.builds(lambda seconds: {"preStop": {"sleep": {"seconds": seconds}}}, values),
    st.builds(lambda text: {"preStop": {"exec": {"command": [f"sleep {text}"]}}}, words),
)
containers = st.builds(
    lambda more: {"command": ["lastword", "worker"], **more},
    st.dictionaries(st.sampled_from(CONTAINER_KEYS), st.one_of(values, probes, sleeps), max_size=4),
)
pods = st.builds(
    lambda container, more: {"containers": [container], **more},
    containers,
    st.dictionaries(st.sampled_from(POD_KEYS), values, max_size=2),
)


@given(
    kind=st.one_of(st.sampled_from(["Pod", "Deployment", "ConfigMap"]), values),
    pod=st.one_of(pods, values),
    labels=values,
    budget=values,
)
@example(kind=["Pod"], pod={}, labels={}, budget={})
@example(kind={"a": "Pod"}, pod={}, labels={}, budget={})
@fuzzed(120, long=10_000)
def test_any_manifest_of_kubernetes_is_read(kind: Any, pod: Any, labels: Any, budget: Any) -> None:
    spec = pod if kind == "Pod" else {"template": {"metadata": {"labels": labels}, "spec": pod}}
    workload = {"kind": kind, "metadata": {"name": "a", "labels": labels}, "spec": spec}
    matched = {"kind": "PodDisruptionBudget", "spec": {"selector": {"matchLabels": budget}}}
    read({"a.yaml": yaml_of(workload) + b"\n---\n" + yaml_of(matched)})


@given(
    content=st.one_of(
        st.binary(max_size=120),
        utf8.map(str.encode),
        st.sampled_from(ODD_TEXTS).map(lambda text: f"services: {text}".encode(errors="replace")),
    )
)
@example(content=b"a: 2026-13-45")
@example(content=b"a: 2026-01-01T25:00:00Z")
@example(content=b"a: " + b"9" * 5000)
@example(content=b"services: {a: {command: lastword worker, scale: 0x" + b"f" * 5000 + b"}}")
@example(content=nested(20_000).encode())
@example(content=b"services: &a {a: *a, command: *a}")
@example(content=b"services: &a {a: *a}")
@example(content=b"kind: &a [*a]")
@example(content=b"a: !!python/object/apply:os.system [true]")
@example(content=b"a: !!binary '='\nb: !!timestamp x\nc: !!float x\nd: !!int ''")
@fuzzed(100, long=20_000)
def test_any_bytes_are_a_yaml_file_that_is_read_or_refused(content: bytes) -> None:
    read({"a.yaml": content})


INSTRUCTIONS = (
    *("FROM", "USER", "WORKDIR", "STOPSIGNAL", "ENTRYPOINT", "CMD", "COPY", "ADD", "#", "RUN"),
)


@given(
    lines=st.lists(
        st.builds(
            "{} {}".format,
            st.sampled_from(INSTRUCTIONS),
            st.one_of(words, values.map(json.dumps)),
        ),
        max_size=8,
    )
)
@example(lines=["FROM a", f"CMD {nested(20_000)}"])
@fuzzed(80, long=10_000)
def test_any_dockerfile_is_read(lines: list[str]) -> None:
    read({"Dockerfile": "\n".join(lines).encode(errors="replace")})


def test_a_folder_with_the_name_of_a_file_is_passed_over(tmp_path: Path) -> None:
    for name in ("a.service", "b.yaml", "c.conf", "Dockerfile", "d.service.d"):
        (tmp_path / name).mkdir()
    [finding] = read_deployment(tmp_path, Config()).findings
    assert finding.rule is Check.READABLE
