"""The database's clock against this host's: the one judges every promise, people read the other."""

from __future__ import annotations

import time

from lastword.errors import LastwordError
from lastword.storage.ledger import Ledger

#: Seconds by which the two may differ.
MOST_APART_S = 5.0


def require_same_clock(ledger: Ledger) -> None:
    """Refuse to work where the two clocks disagree.

    Raises:
        LastwordError: they are more than five seconds apart.
        LedgerUnavailable: the ledger does not answer.
    """
    asked = time.time()
    with ledger.session():
        [row] = ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")
    # Fair to a database that takes its time to answer.
    nearest = min(max(row["now"] / 1000, asked), time.time())
    apart_s = row["now"] / 1000 - nearest
    if abs(apart_s) > MOST_APART_S:
        raise LastwordError(
            f"the clock of the database at {ledger.address} is {apart_s:+.1f} s from this host's",
            expected=f"at most {MOST_APART_S:g} s",
            mend="set both by NTP, then start this again",
        )
