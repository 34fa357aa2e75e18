"""The pytest fixture for applications; nothing of Lastword is imported until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lastword_scheduler.testing import Bench


@pytest.fixture
def lastword_ledger_url() -> str:
    """Where the ledger is: in memory, one for each test. A project may have it elsewhere."""
    return "sqlite:///:memory:"


@pytest.fixture
def lastword_bench(lastword_ledger_url: str) -> Iterator[Bench]:
    """The application that is imported, on a queue in memory and a ledger for tests."""
    from lastword_scheduler.testing import bench

    with bench(lastword_ledger_url) as opened:
        yield opened
