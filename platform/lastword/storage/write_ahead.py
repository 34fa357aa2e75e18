"""The write-ahead log of a SQLite file: those who write keep it short, however busy readers are.

SQLite folds the log into the file as it grows, and begins it anew only in a moment in which nobody
reads from it. Beside readers that follow each other there is no such moment, and the log grows
without end. See "Avoiding Excessively Large WAL Files", https://sqlite.org/wal.html.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import peewee

from lastword.errors import LedgerUnavailable
from lastword.storage.ledger import WAIT_S, Ledger

#: Bytes from which whoever has just written folds the log. Nobody else could: one who writes
#: without a pause leaves others no moment for it.
LONGEST_BYTES = 16 * 2**20

#: Seconds that a writer waits for those who read. Readers that come meanwhile read from the file.
PATIENCE_S = 0.3

#: Seconds after a try that was in vain, for somebody reads without end; twice as long each time.
FIRST_PUT_OFF_S, LONGEST_PUT_OFF_S = 0.05, 60.0


class LogFolding:
    """Folds the log of a ledger after a transaction that left it too long, and begins it anew.

    Args:
        ledger: on connections of Lastword's own.
        clock: seconds that only go up.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._not_before = 0.0
        self._put_off_s = FIRST_PUT_OFF_S

    def __call__(self) -> None:
        """Look, and fold. What cannot be done now is left to whoever writes next."""
        if self._ledger.database.in_transaction() or self._clock() < self._not_before:
            return
        if log_bytes(self._ledger) <= LONGEST_BYTES:
            return
        began = self._clock()
        with suppress(LedgerUnavailable, peewee.PeeweeException):
            if self._is_folded():
                self._put_off_s = FIRST_PUT_OFF_S
                return
        ended = self._clock()
        if ended - began < PATIENCE_S / 2:
            return  # Another is folding it just now, for which SQLite does not wait.
        self._not_before = ended + self._put_off_s
        self._put_off_s = min(2 * self._put_off_s, LONGEST_PUT_OFF_S)

    def _is_folded(self) -> bool:
        with self._ledger.session():
            try:
                self._ledger.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")
                [row] = self._ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._ledger.execute(f"PRAGMA busy_timeout = {WAIT_S * 1000}")
        return bool(row["busy"] == 0)


def log_bytes(ledger: Ledger) -> int:
    """The size of the log on disk; 0 if there is none."""
    try:
        return Path(f"{ledger.database.database}-wal").stat().st_size
    except FileNotFoundError:
        return 0
