"""Guards over the tree: nothing shadows the standard library, no file or function is too long."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOURCE_ROOTS = ("platform", "middleware", "jobs", "scheduler")

MOST_LINES_OF_A_FILE = 300

MOST_LINES_OF_A_FUNCTION = 40


def code_files() -> Iterator[Path]:
    for folder in (*SOURCE_ROOTS, "tests"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without decorators, which are declarations, and without what is nested and counts itself."""
    inner = [node for node in functions(ast.Module(function.body, [])) if node is not function]
    own = {*range(function.lineno, (function.end_lineno or 0) + 1)}
    for node in inner:
        own -= {*range(node.lineno, (node.end_lineno or 0) + 1)}
    return len(own)


def test_a_source_root_holds_no_init_file() -> None:
    """`platform/__init__.py` would shadow the standard library's `platform`."""
    assert [root for root in SOURCE_ROOTS if (ROOT / root / "__init__.py").exists()] == []


def test_tests_are_a_package_and_hold_no_platform() -> None:
    assert (ROOT / "tests" / "__init__.py").is_file()
    assert not (ROOT / "tests" / "platform").exists()


@pytest.mark.parametrize(
    "statement", ["import platform; assert platform.system()", "import uuid; uuid.uuid4()"]
)
def test_the_standard_library_works_from_the_root(statement: str) -> None:
    done = subprocess.run(
        ["python3", "-c", statement], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_code_file_says_what_it_owns() -> None:
    trees = {str(file.relative_to(ROOT)): ast.parse(file.read_text()) for file in code_files()}
    assert [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


def test_no_code_file_is_too_long() -> None:
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for file in code_files()
        if file.parent.name != "migrations"
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}": lines_of(function)
        for file in code_files()
        if file.parent.name != "migrations"
        for function in functions(ast.parse(file.read_text()))
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION} == {}
