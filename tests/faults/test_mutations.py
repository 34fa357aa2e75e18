"""Each guard taken away in turn: a copy of the package without it must fail the test named for it.

A guard that nothing misses is either not needed or not tested. The copy is tried in a process of
its own, with the folder of the copy in the place of `platform`; that process is a fork of one that
has imported pytest and what is not ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest

from tests.faults.mutations import OF_ENDS, OF_STARTS, OF_THE_MOVE, Edit, Mutation
from tests.faults.mutations_of_the_gate import OF_THE_GATE
from tests.faults.mutations_of_verdicts import OF_PARENTS_AND_OPERATORS, OF_VERDICTS
from tests.forking import Forks

ROOT = Path(__file__).parents[2]

MUTATIONS = (
    *(*OF_THE_MOVE, *OF_ENDS, *OF_STARTS, *OF_VERDICTS, *OF_PARENTS_AND_OPERATORS),
    *OF_THE_GATE,
)

#: Copies that are tried at once.
AT_ONCE = 2

#: What is the same whatever is tried: nothing of ours.
IMPORTED = (
    *("pytest", "_pytest.python", "_pytest.fixtures", "_pytest.main", "_pytest.terminal"),
    *("peewee", "playhouse.migrations", "playhouse.pool", "psycopg", "redis", "structlog"),
    *("cronsim", "rich.console", "uuid_utils", "click", "dramatiq"),
)

#: A copy that is imported says so: what was tried was it, and not the original.
TRACE = """
import pathlib as _pathlib
_pathlib.Path(__file__).with_suffix(".imported").touch()
"""

Tried = subprocess.CompletedProcess[str]


def copy_of_the_package(folder: Path, edits: tuple[Edit, ...]) -> Path:
    """A source root with a copy of the package and its edits; the file that was edited last."""
    package = folder / "lastword"
    shutil.copytree(
        ROOT / "platform" / "lastword", package, ignore=shutil.ignore_patterns("*.pyc.*")
    )
    edited = package / "service" / "moves.py"
    for edit in edits:
        edited = package / "service" / edit.file
        text = edited.read_text()
        assert text.count(edit.old) == edit.times, f"{edit.file} no longer says {edit.old!r}"
        edited.write_text(text.replace(edit.old, edit.new))
    edited.write_text(edited.read_text() + TRACE)
    return edited


def try_copy(
    folder: Path, idle: Queue[Forks], edits: tuple[Edit, ...], tests: dict[str, set[str]]
) -> Tried:
    """Run tests, by file, on SQLite and on the copy."""
    edited = copy_of_the_package(folder, edits)
    names = {name for of_file in tests.values() for name in of_file}
    roots = [folder, *(ROOT / name for name in ("middleware", "jobs", "scheduler"))]
    forks = idle.get()
    tried = forks.run(
        [
            *("-q", "-x", "-p", "no:cacheprovider"),
            # Neither is used by these tests, and both take long to import.
            *("-p", "no:hypothesispytest", "-p", "no:anyio"),
            *("--tb=line", "-o", f"pythonpath={' '.join(map(str, roots))}"),
            *("-k", f"sqlite and ({' or '.join(sorted(names))})"),
            *tests,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "300"},
        within_s=60,
    )
    idle.put(forks)
    assert edited.with_suffix(".imported").exists(), tried.stdout + tried.stderr
    return tried


def try_mutation(folder: Path, idle: Queue[Forks], mutation: Mutation) -> Tried:
    file, name = mutation.killer
    return try_copy(folder, idle, mutation.edits, {file: {name}})


@pytest.fixture(scope="module")
def idle() -> Iterator[Queue[Forks]]:
    """What forks pytest, and is not doing so at the moment."""
    queue: Queue[Forks] = Queue()
    started = [Forks("pytest", IMPORTED) for _ in range(AT_ONCE)]
    for forks in started:
        queue.put(forks)
    yield queue
    for forks in started:
        forks.end()


@pytest.fixture(scope="module")
def tried(
    tmp_path_factory: pytest.TempPathFactory, idle: Queue[Forks]
) -> Iterator[dict[str, Future[Tried]]]:
    """Every mutation by name, being tried."""
    folder = tmp_path_factory.mktemp("mutations")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            mutation.name: pool.submit(try_mutation, folder / str(number), idle, mutation)
            for number, mutation in enumerate(MUTATIONS)
        }
        pool.shutdown(cancel_futures=True)


def test_the_same_tests_pass_on_a_copy_with_nothing_taken_away(
    tmp_path: Path, idle: Queue[Forks]
) -> None:
    tests: dict[str, set[str]] = {}
    for mutation in MUTATIONS:
        file, name = mutation.killer
        tests.setdefault(file, set()).add(name)
    done = try_copy(tmp_path, idle, (), tests)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_guard_that_is_taken_away_is_missed(
    mutation: Mutation, tried: dict[str, Future[Tried]]
) -> None:
    done = tried[mutation.name].result()
    # 1: tests failed; more: they could not be run.
    assert done.returncode == 1, done.stdout + done.stderr
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert len(failures) == 1, done.stdout + done.stderr
    [failed] = failures
    file, name = mutation.killer
    where, _, why = failed.removeprefix("FAILED ").partition(" - ")
    assert where.startswith(f"{file}::{name}["), failed
    assert why.removeprefix("AssertionError: ").startswith(mutation.dies_of), failed
