"""The wheel and the source distribution: what is in them, and that whoever builds gets the same."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.packaging.environments import ROOT, build, clean
from tests.packaging.interpreters import SUPPORTED

PACKAGES = {
    "lastword": "platform",
    "lastword_middleware": "middleware",
    "lastword_jobs": "jobs",
    "lastword_scheduler": "scheduler",
}

#: What building, the checks and the tests need.
SOURCES = {
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "mkdocs.yml"),
    "pyproject.toml",
    *("benchmarks", "deploy", "docs", "jobs", "middleware", "platform", "scheduler", "tests"),
}

#: What the build back end adds.
ADDED = {"PKG-INFO", ".gitignore"}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources as whoever downloads them has them."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [top] = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_every_file_of_the_four_packages_and_no_other(wheel: Path) -> None:
    expected = {
        str(file.relative_to(ROOT / folder))
        for package, folder in PACKAGES.items()
        for file in (ROOT / folder / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    files = files_of(wheel)
    assert {file for file in files if ".dist-info/" not in file} == expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= files
    assert any(file.endswith(".dist-info/licenses/LICENSE") for file in files)


def test_the_source_distribution_holds_what_building_and_testing_need_and_no_more(
    unpacked: Path,
) -> None:
    assert {file.name for file in unpacked.iterdir()} == SOURCES | ADDED
    inside = [file for file in unpacked.rglob("*") if file.is_file()]
    assert [file for file in inside if file.suffix == ".pyc"] == []
    assert [file for file in inside if file.stat().st_size > 1_000_000] == []


def test_a_wheel_is_the_same_to_the_byte_whoever_builds_it_and_when(
    wheel: Path, unpacked: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(unpacked, copy, copy_function=shutil.copyfile)
    again = build(copy, "wheel", tmp_path)
    assert again.name == wheel.name
    assert digest(again) == digest(wheel)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_tests_run_from_the_source_distribution(unpacked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/unit/test_states.py"],
        cwd=unpacked,
        env=clean(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_metadata_are_whole(wheel: Path, sdist: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    metadata = metadata_of(wheel)
    assert metadata["Requires-Python"] == f">={SUPPORTED[0]}"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    versions = re.findall(r"Python :: (3\.\d+)\b", "\n".join(metadata.get_all("Classifier", [])))
    assert tuple(versions) == SUPPORTED
