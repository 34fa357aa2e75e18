"""The files of deploy/ as the tools of their platforms read them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

SYSTEMD, KUBERNETES = Path("deploy/systemd"), Path("deploy/kubernetes")


def tool(name: str, package: str) -> str:
    """A tool of a Debian package; a test that has to do without it is left out, or fails in CI."""
    path = shutil.which(name)
    if path is None:
        words = f"{name} is not here: install Debian's package {package}"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(f"left out, for {words}")
    return path


def own(name: str) -> str:
    """A tool that came from PyPI with the others."""
    return str(Path(sys.executable).with_name(name))


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    units = []
    for file in sorted(SYSTEMD.glob("*.service")):
        text = file.read_text()
        assert "/opt/lastword/bin/lastword" in text
        # It looks whether there is such a command; nothing of it is started.
        here = tmp_path / file.name.replace("@.", "@default.")
        here.write_text(text.replace("/opt/lastword/bin/lastword", shutil.which("true") or ""))
        units.append(str(here))
    assert len(units) == 3
    said = run(analyze, "verify", "--man=no", *units)
    # What it does not understand it ignores, with a line.
    assert [line for line in said.splitlines() if "/lastword" in line] == []


def test_systemd_would_say_what_it_does_not_understand(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    unit = tmp_path / "lastword-wrong.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nTimeoutStopSec=a while\nKilMode=mixed\n")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert "Failed to parse time value" in done.stderr
    assert "KilMode" in done.stderr


def test_kubernetes_has_such_objects() -> None:
    said = run(own("kubernetes-validate"), "--strict", *map(str, sorted(KUBERNETES.glob("*.yaml"))))
    passed = [line for line in said.splitlines() if " passed for resource " in line]
    kinds = {line.partition(" resource ")[2].partition("/")[0] for line in passed}
    assert kinds >= {
        *("deployment", "poddisruptionbudget", "horizontalpodautoscaler", "job", "configmap"),
        "service",
    }
    assert len(passed) == 11


def test_docker_compose_takes_the_services() -> None:
    compose = tool("docker-compose", "docker-compose")
    shown = run(
        *(compose, "-f", "deploy/compose/compose.yaml", "config", "--services"),
        LASTWORD_POSTGRES_PASSWORD="made-up",
        LASTWORD_METRICS_TOKEN="made-up-too",
    )
    assert set(shown.split()) >= {
        *("postgres", "redis", "migrate", "worker", "scheduler", "web", "prometheus", "grafana")
    }


@pytest.mark.parametrize("secret", ["LASTWORD_POSTGRES_PASSWORD", "LASTWORD_METRICS_TOKEN"])
def test_docker_compose_asks_for_secrets(secret: str) -> None:
    compose = tool("docker-compose", "docker-compose")
    given = {"LASTWORD_POSTGRES_PASSWORD": "made-up", "LASTWORD_METRICS_TOKEN": "made-up-too"}
    environment = {key: value for key, value in {**os.environ, **given}.items() if key != secret}
    done = subprocess.run(
        [compose, "-f", "deploy/compose/compose.yaml", "config"],
        capture_output=True, text=True, timeout=60, env=environment,
    )  # fmt: skip
    assert done.returncode != 0
    assert secret in done.stderr


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="PyPI has it for no other"
)
def test_hadolint_has_nothing_against_the_image() -> None:
    assert run(own("hadolint"), "deploy/Dockerfile") == ""


def test_supervisor_takes_the_programs(tmp_path: Path) -> None:
    me = os.environ.get("USER") or "root"
    text = Path("deploy/supervisor/lastword.conf").read_text()
    for there in ("/var/lib/lastword", "/run/lastword", "/var/log/lastword"):
        text = text.replace(there, str(tmp_path))
    (tmp_path / "lastword.conf").write_text(text.replace("user = lastword", f"user = {me}"))
    settings = tmp_path / "supervisord.conf"
    settings.write_text(f"[supervisord]\n[include]\nfiles = {tmp_path}/lastword.conf\n")
    options = ServerOptions()
    options.realize(["-c", str(settings)])
    programs = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert set(programs) == {f"lastword-{name}" for name in ("worker", "scheduler", "web")}
    worker = programs["lastword-worker"]
    assert (worker.stopwaitsecs, worker.stopasgroup, worker.killasgroup) == (2740, False, True)
    assert worker.environment["LASTWORD_STOP_WAIT"] == "2730"
