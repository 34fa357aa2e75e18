"""The server's clock: Unix seconds from anywhere, written as Graph writes its moments."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

#: Unix seconds.
Clock = Callable[[], float]


@dataclass(slots=True)
class VirtualClock:
    """A clock that stands still until somebody waits on it, so that a test waits for nothing.

    Args:
        now_s: where it starts, in Unix seconds.
    """

    now_s: float = datetime(2026, 3, 20, 10, tzinfo=UTC).timestamp()
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now_s

    def now(self) -> datetime:
        """The same as an aware moment."""
        return datetime.fromtimestamp(self.now_s, UTC)

    def wait(self, seconds: float) -> None:
        """Let seconds pass; fits wherever a `sleep` is asked for."""
        with self._lock:
            self.now_s += seconds


def stamp(now_s: float) -> str:
    """A moment as Graph writes it: seven decimals and a Z."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
