"""Says at the end of the tests of the package on which Pythons it was not tried."""

from __future__ import annotations

import pytest

from tests.packaging.interpreters import missing


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for version in missing():
        terminalreporter.write_line(
            f"left out: the package on Python {version}, which this machine does not have"
        )
