"""The journal: every request in order, what it was answered with, and how many there were."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

#: Requests the journal remembers; those beyond are counted all the same.
MAX_ENTRIES = 100_000


@dataclass(slots=True)
class Journal:
    """What was asked.

    Attributes:
        entries: the requests, oldest first.
        counts: how many went to each route, by method and path with the ids left open.
        asked: all of them, also those that are not remembered.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def note(self, **entry: Any) -> dict[str, Any]:
        """Write a line; what becomes of the request may be added to it."""
        self.asked += 1
        if len(self.entries) < MAX_ENTRIES:
            self.entries.append(entry)
        return entry

    def count(self, method: str, route: str) -> None:
        """Count a request to a route."""
        self.counts[f"{method} {route}"] += 1

    def clear(self) -> None:
        """Begin a new one."""
        self.entries.clear()
        self.counts.clear()
        self.asked = 0
