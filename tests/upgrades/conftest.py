"""The fleet of the process tests, for upgrades."""

from __future__ import annotations

from tests.fleets import fleet

__all__ = ["fleet"]
