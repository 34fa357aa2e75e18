"""The pytest fixture for applications; nothing of Lastword is imported until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lastword_scheduler.testing import Bench


@pytest.fixture
def lastword_ledger_url(tmp_path: Path) -> str:
    """Where the ledger is: a SQLite file for each test. A project may have it elsewhere."""
    return f"sqlite:///{tmp_path / 'lastword-bench.db'}"


@pytest.fixture
def lastword_bench(lastword_ledger_url: str) -> Iterator[Bench]:
    """The application that is imported, on a queue in memory and a ledger for tests."""
    from lastword_scheduler.testing import bench

    with bench(lastword_ledger_url) as opened:
        yield opened
