"""The pytest fixture for applications; nothing of Lastword is imported until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lastword_scheduler.testing import Bench


@pytest.fixture
def lastword_bench(tmp_path: Path) -> Iterator[Bench]:
    """The application that is imported, on a queue in memory and a ledger of this test alone."""
    from lastword_scheduler.testing import bench

    with bench(tmp_path) as opened:
        yield opened
