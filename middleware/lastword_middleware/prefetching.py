"""How many messages a worker takes from a queue at once: many short jobs, few long ones.

What was fetched is reserved together, so more at once is less for each. But a message that waits
here is waited for by every other worker that is idle. So: at most what this worker settles in a
moment; of that no more is handed to its threads than Dramatiq itself would take; and the rest goes
back to the queue when the threads are kept by something long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

#: Seconds of work that are taken at once. More than a fetch, its reservation and the commit of its
#: ends take, or the queue would wait for them.
WINDOW_S = 0.5

#: The most that is taken at once.
MOST = 2048

#: How much more may be taken after each look.
GROWTH = 4

#: How many fetches fill a window: some of it is fetched while some is done and some is written.
PORTIONS = 4

#: Seconds that a look takes to be between it and the last, at least.
SHORTEST_LOOK_S = 0.001

#: Seconds after which what was not handed out goes back. Below the time in which a reservation may
#: be begun unrecorded.
HELD_FOR_S = 2.0


@dataclass(slots=True)
class Hands:
    """The messages of one queue that are in this worker's hands, by the broker's ids.

    Attributes:
        least: what Dramatiq would take.
        is_fixed: whether somebody has said how many it is to be.
        refs: all of them.
        waiting: those of them that were handed out and that no thread has begun with.
        freed: set whenever one has left them.
        begun: set whenever few are left waiting.
        clock: what tells the time, in seconds.
    """

    least: int = 1
    is_fixed: bool = True
    refs: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    freed: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    _settled: int = 0
    _since: float = 0.0
    _size: int = 0

    def drop(self, refs: Iterable[str]) -> int:
        """These have left the worker's hands; how many of them were there."""
        gone = self.refs.intersection(refs)
        self.refs.difference_update(gone)
        self.waiting.difference_update(gone)
        self.freed.set()
        self.begun.set()
        return len(gone)

    def settle(self, refs: Iterable[str]) -> None:
        """These are done, and have left the worker's hands."""
        self._settled += self.drop(refs)

    def begin(self, ref: str) -> None:
        """A thread has begun with this one."""
        self.waiting.discard(ref)
        if len(self.waiting) * 2 <= self.least and not self.begun.is_set():
            self.begun.set()

    @property
    def may_be_handed_out(self) -> bool:
        """Whether one more may be given to the threads."""
        return self.is_fixed or len(self.waiting) < self.least

    @property
    def room(self) -> int:
        """How many more may be taken now."""
        return self._wanted() - len(self.refs)

    @property
    def next_fetch(self) -> int:
        """How many to take with the next fetch; 0 if there is no room."""
        room = self.room
        return room if self.is_fixed else min(room, max(self.least, self._size // PORTIONS))

    def _wanted(self) -> int:
        if self.is_fixed:
            return self.least
        now = self.clock()
        took = now - self._since
        # Once as many are settled as were taken, for a worker that begins with short jobs is not to
        # be kept short; else over the whole of a window, for they are settled in groups.
        if took >= WINDOW_S or self._settled >= self._size:
            in_a_window = self._settled / max(took, SHORTEST_LOOK_S) * WINDOW_S
            wanted = min(int(in_a_window), self._size * GROWTH, MOST)
            self._size = max(wanted, self.least)
            self._settled, self._since = 0, now
        return self._size
