"""What the scheduler's jobs did: the last of each as a row, all of them as counters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lastword.service.counters import Counted, count
from lastword.service.metering import observe
from lastword.storage.ledger import Ledger


class SweepResult(StrEnum):
    """How one run of a job ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: It hung past its deadline, and was left to itself.
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """One run of a job.

    Attributes:
        job: its name in the timetable.
        scheduler: the id of the process.
        found: what it looked at.
        acted: what it changed.
        skipped: what it could not read or judge, and left.
        lost_races: what moved between the look and the deed: nothing was written.
        error: what went wrong, in one line.
    """

    job: str
    scheduler: str
    result: SweepResult
    duration_s: float
    found: int = 0
    acted: int = 0
    skipped: int = 0
    lost_races: int = 0
    error: str | None = None


#: What a later run of the same job overwrites.
_LATEST = (
    *("scheduler", "ended_at", "duration_ms", "result"),
    *("found", "acted", "skipped", "lost_races", "error"),
)


def record_sweep(ledger: Ledger, record: SweepRecord) -> None:
    """Keep what a job just did."""
    now, param = ledger.dialect.now_ms, ledger.dialect.param
    succeeded = record.result is SweepResult.SUCCEEDED
    updates = ", ".join(f"{name} = excluded.{name}" for name in _LATEST)
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO lastword_sweep (job, scheduler, ended_at, succeeded_at, duration_ms, "
            "result, found, acted, skipped, lost_races, error) "
            f"VALUES ({param}, {param}, {now}, {now if succeeded else 'NULL'}, "
            f"{', '.join([param] * 7)}) ON CONFLICT (job) DO UPDATE SET {updates}, "
            "succeeded_at = COALESCE(excluded.succeeded_at, lastword_sweep.succeeded_at)",
            record.job,
            record.scheduler,
            int(record.duration_s * 1000),
            record.result,
            record.found,
            record.acted,
            record.skipped,
            record.lost_races,
            record.error,
        )
        observe(ledger, "sweep_duration", (record.job,), record.duration_s)
        count(ledger, Counted.SWEEPS, f"{record.job}/{record.result}")
        for name in ("acted", "skipped", "lost_races"):
            if getattr(record, name):
                count(ledger, Counted.SWEPT, f"{record.job}/{name}", getattr(record, name))
