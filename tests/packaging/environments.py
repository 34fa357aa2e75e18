"""Built distributions, and empty environments that the wheel is installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.interpreters import interpreter

ROOT = Path(__file__).parents[2]


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a distribution of the sources in a folder, as a front end does.

    Args:
        source: the folder with `pyproject.toml`.
        target: `wheel` or `sdist`.
        folder: where it is put.
    """
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@dataclass(frozen=True)
class Environment:
    """An environment with nothing in it but what the wheel asks for."""

    folder: Path

    @property
    def bin(self) -> Path:
        """The folder of its commands."""
        return self.folder / "bin"

    def run(
        self, *command: str, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to its end, without what this process has on its path."""
        return subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=cwd,
            env=clean(env),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def installed(self) -> set[str]:
        """The names of the distributions in it."""
        code = (
            "from importlib.metadata import distributions\n"
            "print(*{each.name.lower().replace('_', '-') for each in distributions()})"
        )
        return {*self.run("python", "-I", "-c", code, cwd=self.folder).stdout.split()}


def clean(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what changes where Python looks."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LASTWORD_", "PYTHON", "VIRTUAL_ENV"))
    }
    return {**kept, **(more or {})}


def environment_on(version: str, wheel: Path, folder: Path) -> Environment:
    """An environment of a version of Python with the wheel in it; the test is left out without one.

    Which versions this machine lacks is said at the end of all tests.
    """
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv is not None
    settings = clean({"UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1"})
    for arguments in (
        ("venv", "--quiet", "--python", python, str(folder)),
        ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder), str(wheel)),
    ):
        done = subprocess.run(
            [uv, *arguments], env=settings, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    return Environment(folder)
