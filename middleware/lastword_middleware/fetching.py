"""Fetches the next messages while the last ones are handed out, so that no thread waits for them.

Fetching many and reserving them takes a tenth of a second, in which short jobs run dry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from dramatiq.broker import MessageProxy

from lastword.logs import log_notice

Fetch = Callable[[], list[MessageProxy]]


class Ahead:
    """At most one fetch at a time, in a thread of its own; there is none until the first.

    Args:
        fetch: what it does.
        leave: called in the thread before it ends.
    """

    def __init__(self, fetch: Fetch, *, leave: Callable[[], None]) -> None:
        self._fetch = fetch
        self._leave = leave
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[list[MessageProxy]] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether a fetch was begun and not taken."""
        return self._under_way is not None

    @property
    def is_done(self) -> bool:
        """Whether one was, and can be taken without waiting."""
        return self._under_way is not None and self._under_way.done()

    def begin(self) -> None:
        """Begin to fetch."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="lastword-fetch")
        self._under_way = self._thread.submit(self._fetch)

    def taken(self) -> list[MessageProxy]:
        """What was fetched; waits for it.

        Raises:
            Exception: whatever the fetch ended with.
        """
        assert self._under_way is not None
        under_way, self._under_way = self._under_way, None
        return under_way.result()

    def close(self) -> list[MessageProxy]:
        """End the thread; what it had fetched."""
        try:
            return self.taken() if self._under_way else []
        except Exception as error:  # noqa: BLE001 - whoever closes has more to give back
            # The fetch has given up itself what it had.
            log_notice(logging.WARNING, "fetch_failed", why=f"{type(error).__name__}: {error}")
            return []
        finally:
            if self._thread is not None:
                self._thread.submit(self._leave)
                self._thread.shutdown()
                self._thread = None
