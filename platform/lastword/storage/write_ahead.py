"""The write-ahead log of a SQLite file: kept short, however busy its readers are.

SQLite folds the log into the file as it grows, and begins it anew only in a moment in which nobody
reads from it. Beside readers that follow each other there is no such moment, and the log grows
without end. See "Avoiding Excessively Large WAL Files", https://sqlite.org/wal.html.
"""

from __future__ import annotations

import time
from pathlib import Path

from lastword.storage.ledger import WAIT_S, Ledger

#: Bytes that the log may keep on disk; what is longer is cut once it begins anew.
LONGEST_BYTES = 16 * 2**20

#: Seconds that those who read get to end while nobody else may write: most tries are short, for
#: SQLite looks often at first and then seldom whether what it waits for is free.
PATIENCE_S = (*[0.05] * 10, 0.2, 0.5)

#: Seconds between two tries: for those who write, and for another connection that folds, for which
#: SQLite does not wait.
PAUSE_S = 0.005


def log_bytes(ledger: Ledger) -> int:
    """The size of the log on disk; 0 if there is none."""
    if not ledger.is_one_file:
        return 0
    try:
        return Path(f"{ledger.database.database}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def shorten_log(ledger: Ledger) -> int:
    """Fold a log that has grown too long into its file, and begin it anew; bytes given back.

    Nobody may write while it waits for those who read. A read that takes longer than half a second
    leaves the log as it is, for the next time.

    Args:
        ledger: on connections of Lastword's own.

    Raises:
        LedgerUnavailable: the file cannot be opened.
    """
    before = log_bytes(ledger)
    if before <= LONGEST_BYTES:
        return 0
    with ledger.session():
        try:
            for patience_s in PATIENCE_S:
                ledger.execute(f"PRAGMA busy_timeout = {int(patience_s * 1000)}")
                [row] = ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                if row["busy"] == 0:
                    break
                time.sleep(PAUSE_S)
        finally:
            ledger.execute(f"PRAGMA busy_timeout = {WAIT_S * 1000}")
    return max(0, before - log_bytes(ledger))
