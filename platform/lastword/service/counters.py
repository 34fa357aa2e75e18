"""Numbers that only grow, written with what they count: no killed process takes them along."""

from __future__ import annotations

from enum import StrEnum

from lastword.storage.ledger import Ledger


class Counted(StrEnum):
    """What is counted, by its name; the label says which kind of it."""

    #: Results that came after their run was closed or handed on; by operation.
    LATE_RESULTS = "late_results"
    #: Deliveries that were dead-lettered unexecuted; by why.
    REFUSED_DELIVERIES = "refused_deliveries"
    #: What Dramatiq would have swallowed and Lastword did not; by what.
    SWALLOWED = "swallowed"
    #: Runs of the scheduler's jobs; by job and how they ended.
    SWEEPS = "sweeps"
    #: What the scheduler's jobs did; by job and what.
    SWEPT = "swept"
    #: Slots of cron schedules; by what became of them.
    SLOTS = "slots"
    #: Looks of schedulers at a leader's lease that another holds.
    STOOD_BY = "stood_by"
    #: Rows of history that were removed for their age; by table.
    PRUNED = "pruned"


def count(ledger: Ledger, what: Counted, label: str, by: int = 1) -> None:
    """Add to a counter, in the transaction of the caller if there is one."""
    param = ledger.dialect.param
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO lastword_counter (name, label, value) "
            f"VALUES ({param}, {param}, {param}) ON CONFLICT (name, label) "
            "DO UPDATE SET value = lastword_counter.value + excluded.value",
            what,
            label[:100],
            by,
        )
