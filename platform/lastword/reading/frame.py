"""What stands around every page: the bell and the banner, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastword.reading.notifications import MOST_UNREAD, unread_of
from lastword.reading.viewers import Scope
from lastword.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a page.

    Attributes:
        unread: notifications that the reader has not read.
        silent_s: seconds since a reconciler last succeeded; None if none ever did.
    """

    unread: int
    silent_s: float | None


def read_frame(ledger: Ledger, user_id: str, *, scopes: Sequence[Scope]) -> Frame:
    """The bell of a person, and how long the reconcilers have been silent."""
    unread, values = unread_of(ledger, user_id, scopes=scopes, at_most=MOST_UNREAD)
    with ledger.session():
        [row] = ledger.execute(
            f"SELECT ({unread}) AS unread, (SELECT {ledger.dialect.now_ms} - MAX(succeeded_at) "
            "FROM lastword_sweep WHERE SUBSTR(job, 1, 10) = 'reconcile.') AS silent_ms",
            *values,
        )
    silent_ms = row["silent_ms"]
    return Frame(int(row["unread"]), None if silent_ms is None else float(silent_ms) / 1000)
