"""The interpreters that the package promises to work with, and where they are on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: What the classifiers of the package say; a test compares.
SUPPORTED = ("3.11", "3.12", "3.13")

#: Where version managers put interpreters, below the home folder.
_INSTALLED = (".pyenv/versions/{}.*/bin/python3", ".local/share/uv/python/cpython-{}.*/bin/python3")

_VERSION = "import sys, sqlite3, ssl, venv; print('%d.%d' % sys.version_info[:2])"


@cache
def interpreter(version: str) -> str | None:
    """The command of a Python of this version; None if this machine has none that is whole."""
    return next((path for path in _candidates(version) if _version_of(path) == version), None)


def missing() -> list[str]:
    """The versions that this machine does not have."""
    return [version for version in SUPPORTED if interpreter(version) is None]


def _candidates(version: str) -> Iterator[str]:
    # Not the environment that the tests run in: what it is made of.
    yield str(getattr(sys, "_base_executable", sys.executable))
    named = shutil.which(f"python{version}")
    if named is not None:
        yield named
    for pattern in _INSTALLED:
        yield from map(str, sorted(Path.home().glob(pattern.format(version))))


def _version_of(path: str) -> str:
    try:
        # A shim of a version manager is there for versions that it does not have, too.
        done = subprocess.run(
            [path, "-I", "-c", _VERSION], capture_output=True, text=True, timeout=30
        )
    except OSError:
        return ""
    return done.stdout.strip()
