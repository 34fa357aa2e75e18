"""Ledgers with a long history, made once for all the tests of plans."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from tests.conformance.history import analyze, fill
from tests.postgres import Databases
from tests.support import Scene

#: SQLite plans without statistics, as a deployment has it, and with them.
HISTORIES = ("sqlite", "sqlite, analyzed", "postgresql")


@pytest.fixture(scope="session", params=HISTORIES)
def history_url(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_sqlite: Path,
) -> Iterator[str]:
    """A ledger with a history; tests add active runs to it and remove little."""
    if request.param == "postgresql":
        databases: Databases = request.getfixturevalue("databases")
        name = databases.take()
        url = databases.url(name)
    else:
        file = tmp_path_factory.mktemp("history") / "lastword.db"
        shutil.copyfile(migrated_sqlite, file)
        url = f"sqlite:///{file}"
    ledger = open_ledger(url)
    fill(Scene(ledger))
    if request.param != "sqlite":
        analyze(Scene(ledger))
    ledger.close()
    yield url
    if request.param == "postgresql":
        databases.give_back(name)


@pytest.fixture
def long_ledger(history_url: str) -> Iterator[Ledger]:
    """A ledger with a history, opened for one test."""
    opened = open_ledger(history_url)
    yield opened
    opened.close()
