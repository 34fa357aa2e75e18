"""Processes of two releases over one ledger and one broker, with a producer of each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lastword.orphans import tied
from lastword.storage.ledger import Row
from tests.fleets import LEASE_S, shared_settings
from tests.processes import environment
from tests.support import FLEET_OPERATIONS, Scene

#: The release before this one, as it was built.
[PREVIOUS] = Path(__file__).parent.glob("lastword-*.whl")

#: Limits are short here on purpose, and the machine may be slow.
_ALLOWED = ("unsafe_timing_allowed", "job_still_running")

Process = subprocess.Popen[bytes]

_TROUBLE = re.compile(r"Traceback|\b(ERROR|CRITICAL)\b|\[(error|critical) *\]")


@dataclass
class Release:
    """The processes of one release.

    Args:
        name: what its files are called.
        settings: what its processes have in their environment.
        folder: for its logs, and what its producer has started.
    """

    name: str
    settings: Mapping[str, str]
    folder: Path
    _serving: list[Process] = field(default_factory=list)
    _producer: Process | None = None

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "lastword.cli", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def serve(self, *, workers: int) -> None:
        """Start workers and a scheduler. Nobody starts again what ends."""
        for number in range(workers):
            worker = ("lastword.cli", "worker", "tests.fleet", "--threads", "2")
            self._serving.append(self._spawn(f"worker-{number}", *worker))
        self._serving.append(self._spawn("scheduler", "lastword.cli", "scheduler"))

    def produce(self) -> None:
        """Start runs until `stop_producing`."""
        with self._file("started").open("wb") as started:
            words = ("tests.upgrades.producing", str(self._file("stop")))
            self._producer = self._spawn("producer", *words, out=started)

    def _spawn(self, name: str, *words: str, out: IO[bytes] | None = None) -> Process:
        with self._file(f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                tied([sys.executable, "-m", *words]),
                env=self._environment,
                stdout=out or log,
                stderr=log,
                # As a supervisor does: a signal reaches whom it is sent to, and no group.
                start_new_session=True,
            )

    def stop_producing(self) -> None:
        """Let the producer end, and see that it ends well."""
        self._file("stop").touch()
        if self._producer is not None:
            assert self._producer.wait(30) == 0, self.troubles()
            self._producer = None

    def drain(self) -> list[int]:
        """Stop its processes as an upgrade does; how those ended that had not before."""
        running = [process for process in self._serving if process.poll() is None]
        for process in running:
            process.terminate()
        return [process.wait(30) for process in running]

    def started(self) -> list[str]:
        """The runs that its producer was told are accepted."""
        file = self._file("started")
        return file.read_text().split() if file.exists() else []

    def troubles(self) -> list[str]:
        """What its processes called an error, and that means more than that time is short here."""
        files = self.folder.glob(f"{self.name}.*.log")
        lines = [line for file in files for line in file.read_text().splitlines()]
        troubles = [line for line in lines if _TROUBLE.search(line)]
        return [line for line in troubles if not any(word in line for word in _ALLOWED)]

    def close(self) -> None:
        """End whatever a failed test left."""
        for process in (*self._serving, self._producer):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        return {**environment(), **self.settings}

    def _file(self, name: str) -> Path:
        return self.folder / f"{self.name}.{name}"


@contextmanager
def two_releases(
    folder: Path, *, database_url: str, redis_url: str
) -> Iterator[tuple[Release, Release]]:
    """The release before this one and this one, on the same ledger, broker and configuration."""
    previous = folder / "previous"
    with zipfile.ZipFile(PREVIOUS) as wheel:
        wheel.extractall(previous)
    (folder / "lastword.toml").write_text(FLEET_OPERATIONS)
    settings = {
        **shared_settings(folder),
        "LASTWORD_CONFIG": str(folder / "lastword.toml"),
        "LASTWORD_DATABASE_URL": database_url,
        "LASTWORD_BROKER_URL": redis_url,
        # Nobody here waits for one to run out, and many processes share the cores.
        "LASTWORD_LEASE_TTL": str(5 * LEASE_S),
        "FLEET_JOURNAL": str(folder / "journal"),
    }
    path = os.pathsep.join(filter(None, (str(previous), os.environ.get("PYTHONPATH"))))
    old = Release("old", {**settings, "PYTHONPATH": path}, folder)
    new = Release("new", settings, folder)
    try:
        yield old, new
    finally:
        old.close()
        new.close()


def versions(scene: Scene) -> dict[str, str]:
    """The workers that the ledger knows, with their versions."""
    with scene.ledger.session():
        rows = scene.ledger.execute("SELECT id, version FROM lastword_worker")
    return {row["id"]: row["version"] for row in rows}


def done_on(scene: Scene, run_ids: list[str]) -> Counter[str]:
    """How many of these runs have succeeded on workers of each version."""
    known, wanted = versions(scene), set(run_ids)
    return Counter(
        known[row["worker_id"]]
        for row in all_runs(scene)
        if row["id"] in wanted and row["outcome"] == "succeeded"
    )


def all_runs(scene: Scene) -> list[Row]:
    """Every run of the ledger."""
    with scene.ledger.session():
        return scene.ledger.execute("SELECT * FROM lastword_run")


def last_words(scene: Scene) -> dict[str, int]:
    """How many terminal events each run has that has any."""
    with scene.ledger.session():
        rows = scene.ledger.execute(
            "SELECT run_id, COUNT(*) AS events FROM lastword_event WHERE terminal GROUP BY run_id"
        )
    return {row["run_id"]: row["events"] for row in rows}
