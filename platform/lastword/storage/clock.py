"""The database's clock against this host's: the one judges every promise, people read the other."""

from __future__ import annotations

import time

from lastword.errors import LastwordError
from lastword.storage.ledger import Ledger

#: Seconds by which the two may differ.
MOST_APART_S = 5.0


def now_ms(ledger: Ledger) -> int:
    """What the database's clock says, in milliseconds since 1970.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    with ledger.session():
        [row] = ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")
    return int(row["now"])


def require_same_clock(ledger: Ledger) -> None:
    """Refuse to work where the two clocks disagree.

    Raises:
        LastwordError: they are more than five seconds apart.
        LedgerUnavailable: the ledger does not answer.
    """
    asked = time.time()
    now = now_ms(ledger)
    # Fair to a database that takes its time to answer.
    nearest = min(max(now / 1000, asked), time.time())
    apart_s = now / 1000 - nearest
    if abs(apart_s) > MOST_APART_S:
        raise LastwordError(
            f"the clock of the database at {ledger.address} is {apart_s:+.1f} s from this host's",
            expected=f"at most {MOST_APART_S:g} s",
            mend="set both by NTP, then start this again",
        )
