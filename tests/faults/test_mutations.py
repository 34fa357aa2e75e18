"""Each guard taken away in turn: a copy of the package without it must fail the test named for it.

A guard that nothing misses is either not needed or not tested. The copy is tried in a process of
its own, with the folder of the copy in the place of `platform`; that process is a fork of one that
has imported pytest and what is not ours.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import pytest

from tests.campaigns import IS_LONG
from tests.faults.mutations import OF_ENDS, OF_STARTS, OF_THE_MOVE, SERVICE, Edit, Mutation
from tests.faults.mutations_of_attempts import OF_ATTEMPTS
from tests.faults.mutations_of_deliveries import OF_DELIVERIES
from tests.faults.mutations_of_judging import OF_JUDGING
from tests.faults.mutations_of_messages import OF_MESSAGES
from tests.faults.mutations_of_moments import OF_MOMENTS
from tests.faults.mutations_of_sweeps import OF_SWEEPS
from tests.faults.mutations_of_the_gate import OF_THE_GATE
from tests.faults.mutations_of_verdicts import OF_PARENTS_AND_OPERATORS, OF_VERDICTS
from tests.faults.spare_guards import SPARE, Spare
from tests.forking import Forks

ROOT = Path(__file__).parents[2]

#: The guards of the service, all of them.
OF_THE_SERVICE = (
    *(*OF_THE_MOVE, *OF_ENDS, *OF_STARTS, *OF_VERDICTS, *OF_PARENTS_AND_OPERATORS),
    *(*OF_THE_GATE, *OF_MOMENTS, *OF_MESSAGES),
)

ALL = (*OF_THE_SERVICE, *OF_JUDGING, *OF_SWEEPS, *OF_DELIVERIES, *OF_ATTEMPTS)

#: Those of processes need workers, Redis and seconds each.
MUTATIONS = ALL if IS_LONG else OF_THE_SERVICE

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
    """A source root with copies of packages and the edits in them; the file edited last."""
    for package in {Path("platform/lastword"), *(edit.package for edit in edits)}:
        shutil.copytree(
            ROOT / package, folder / package.name, ignore=shutil.ignore_patterns("*.pyc.*")
        )
    edited = folder / "lastword" / "service" / "moves.py"
    for edit in edits:
        edited = folder / edit.place
        edited.write_text(without(edited.read_text(), edit))
    edited.write_text(edited.read_text() + TRACE)
    return edited


def without(text: str, edit: Edit) -> str:
    """The text of a file after an edit.

    Raises:
        AssertionError: it is not what the edit was written for.
    """
    assert text.count(edit.old) == edit.times, f"{edit.file} no longer says {edit.old!r}"
    return text.replace(edit.old, edit.new)


def try_copy(
    folder: Path,
    idle: Queue[Forks],
    edits: tuple[Edit, ...],
    tests: dict[str, set[str]],
    *,
    within_s: float = 180,
) -> Tried:
    """Run tests, by file, on the copy; on SQLite those that run on both databases."""
    edited = copy_of_the_package(folder, edits)
    names = {name for of_file in tests.values() for name in of_file}
    roots = [folder, *(ROOT / name for name in ("middleware", "jobs", "scheduler"))]
    forks = idle.get()
    tried = forks.run(
        [
            *("-q", "-x", "-p", "no:cacheprovider"),
            # None is used by these tests, and each takes long to import.
            *("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:schemathesis"),
            *("--tb=line", "-o", f"pythonpath={' '.join(map(str, roots))}"),
            *("-k", f"not postgresql and ({' or '.join(sorted(names))})"),
            *tests,
        ],
        cwd=ROOT,
        # Whatever is long here, what is tried is as short as it can be.
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "300", "CAMPAIGN": ""},
        within_s=within_s,
    )
    idle.put(forks)
    assert edited.with_suffix(".imported").exists(), tried.stdout + tried.stderr
    return tried


def try_mutation(folder: Path, idle: Queue[Forks], mutation: Mutation) -> Tried:
    file, name = mutation.killer
    return try_copy(folder, idle, mutation.edits, {file: {name}})


def require_missed(mutation: Mutation, done: Tried) -> None:
    """The test that is named, and no other, says that the guard is gone.

    Raises:
        AssertionError: it does not.
    """
    # 1: tests failed; more: they could not be run.
    assert done.returncode == 1, done.stdout + done.stderr
    failures = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert len(failures) == 1, done.stdout + done.stderr
    [failed] = failures
    file, name = mutation.killer
    where, _, why = failed.removeprefix("FAILED ").partition(" - ")
    assert where.partition("[")[0] == f"{file}::{name}", failed
    assert why.removeprefix("AssertionError: ").startswith(mutation.dies_of), failed


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


def guards_of_verbs() -> Iterator[tuple[str, str]]:
    """Every condition in a list of guards of the service: its file, and its source."""
    for file in sorted((ROOT / SERVICE).glob("*.py")):
        text = file.read_text()
        for node in ast.walk(ast.parse(text)):
            given = _guards_in(node)
            for item in given.elts if isinstance(given, ast.Tuple | ast.List) else ():
                # What is a variable here is a guard where it is given.
                if not isinstance(item, ast.Starred) and not _is_variable(item):
                    yield file.name, ast.get_source_segment(text, item) or ""


def _is_variable(item: ast.expr) -> bool:
    return isinstance(item, ast.Name) and item.id.islower()


def _guards_in(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.keyword) and node.arg == "guards":
        return node.value
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("guards", "_SEEN_STATE"):
        return node.value
    return None


def takes(edit: Edit, file: str, guard: str) -> bool:
    """Whether an edit takes a guard away, or a part of it."""
    is_gone = edit.old.count(guard) > edit.new.count(guard)
    return (edit.folder, edit.file) == (SERVICE, file) and (is_gone or edit.old in guard)


def test_every_guard_of_a_verb_is_on_the_list() -> None:
    guards = Counter(guards_of_verbs())
    assert guards.total() > 50
    for (file, guard), times in guards.items():
        taken = sum(any(takes(edit, file, guard) for edit in it.edits) for it in ALL)
        same = sum((it.folder, it.file) == (SERVICE, file) and guard in it.text for it in SPARE)
        assert taken + same >= times, f"{file}: {guard}"


def test_what_is_taken_away_is_still_there() -> None:
    # Those that need processes are tried seldom.
    for mutation in ALL:
        texts: dict[Path, str] = {}
        for edit in mutation.edits:
            file = ROOT / edit.folder / edit.file
            texts[file] = without(texts.get(file, file.read_text()), edit)


@pytest.mark.parametrize("spare", SPARE, ids=lambda spare: spare.name)
def test_what_is_said_to_guard_nothing_is_still_there(spare: Spare) -> None:
    assert spare.text in (ROOT / spare.folder / spare.file).read_text()
    assert spare.why


def test_the_same_tests_pass_on_a_copy_with_nothing_taken_away(
    tmp_path: Path, idle: Queue[Forks]
) -> None:
    tests: dict[str, set[str]] = {}
    for mutation in MUTATIONS:
        file, name = mutation.killer
        tests.setdefault(file, set()).add(name)
    done = try_copy(tmp_path, idle, (), tests, within_s=600)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_guard_that_is_taken_away_is_missed(
    mutation: Mutation, tried: dict[str, Future[Tried]]
) -> None:
    require_missed(mutation, tried[mutation.name].result())
