"""Runs what a page holds: its Python in one process of its own, its consoles in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.documents.blocks import ROOT, Block, blocks_of, python_of
from tests.documents.consoles import commands_of
from tests.processes import environment

#: Seconds that a page's Python, or one command of it, may take.
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a page runs.

    Attributes:
        folder: an empty one.
        database_url: a migrated ledger.
        redis_url: an empty Redis.
    """

    folder: Path
    database_url: str
    redis_url: str

    def put(self, text: str) -> str:
        """`text` with the servers of this stand for those that pages name."""
        text = text.replace("postgresql://app@db/app", self.database_url)
        return text.replace("redis://127.0.0.1:6379/0", self.redis_url)

    def write_files(self, page: str) -> None:
        """Write the files that a page shows."""
        for block in blocks_of(page):
            if block.marker == "file":
                (self.folder / block.told).write_text(self.put(block.text), encoding="utf-8")

    @property
    def env(self) -> dict[str, str]:
        """Ours, and what a person would have set."""
        own = environment(database_url=self.database_url, broker_url=self.redis_url)
        if (self.folder / "lastword.toml").exists():
            own["LASTWORD_CONFIG"] = "lastword.toml"
        beside = str(Path(sys.executable).parent)
        paths = [str(self.folder), *(str(ROOT / name) for name in _SOURCES)]
        return {
            **own,
            "PATH": os.pathsep.join([beside, os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(paths),
            "COLUMNS": "160",
        }


_SOURCES = ("platform", "middleware", "jobs", "scheduler")


def run_python(page: str, stand: Stand) -> None:
    """Run the Python of a page, top to bottom.

    Raises:
        AssertionError: with its traceback, whose line numbers are those of the page.
    """
    stand.write_files(page)
    script = stand.folder / "_page.py"
    script.write_text(stand.put(python_of(page)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=stand.folder,
        env=stand.env,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, f"{page}: {done.stdout}{done.stderr}"


def run_console(block: Block, stand: Stand) -> None:
    """Run the commands of a block, and hold what they print against the page."""
    for command in commands_of(block.text):
        done = subprocess.run(
            ["bash", "-c", stand.put(command.line)],
            cwd=stand.folder,
            env=stand.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, f"{block.place}: {command.line}: {done.stdout}"
        require_output(command.output, done.stdout, f"{block.place}: {command.line}")


def require_output(expected: str, printed: str, line: str) -> None:
    """That a command printed what the page says; `...` is whatever it was."""
    if not expected:
        return
    pattern = re.escape(_trimmed(expected)).replace(re.escape("..."), ".*?")
    assert re.fullmatch(pattern, _trimmed(printed), re.DOTALL), (
        f"{line}\nthe page says:\n{expected}\nit printed:\n{printed}"
    )


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def import_file(block: Block, stand: Stand) -> None:
    """Import a Python file that a page shows."""
    module = Path(block.told).stem
    code = f"import importlib; importlib.import_module({module!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=stand.folder,
        env=stand.env,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, f"{block.place}: {done.stderr}"
