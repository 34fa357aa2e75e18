"""Runs one job of the timetable: only while this process leads, and never past its deadline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lastword.logs import log_notice
from lastword.service.sweeps import SweepRecord, SweepResult, record_sweep
from lastword.storage.ledger import Ledger
from lastword_scheduler.leading import Leadership
from lastword_scheduler.reports import GivenUp, SweepReport

#: Sweeps that hang at once before this process is no good any more.
MOST_HUNG = 8

#: Intervals by which a job's turn may be late, beyond the deadline of the run before.
LATE = 3

#: Seconds the record of a sweep may take; without it the sweep is done all the same.
RECORDED_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the timetable.

    Attributes:
        every_s: how often it runs, in seconds.
        deadline_s: how long one run may take; one that hangs longer is left to itself.
    """

    name: str
    every_s: float
    deadline_s: float
    work: Callable[[GivenUp], SweepReport]


@dataclass(slots=True)
class Attempted:
    """What came of a run of something in a thread of its own."""

    report: SweepReport | None = None
    error: BaseException | None = None
    given_up: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Runs jobs, and keeps what became of them.

    Args:
        ledger: where that is kept.
        leadership: whether to run anything at all.
        give_up: called once so many sweeps hang that only a new process helps.
    """

    def __init__(
        self, ledger: Ledger, leadership: Leadership, *, give_up: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._leadership = leadership
        self._give_up = give_up
        self._hung: list[threading.Thread] = []
        self._came: dict[str, float] = {}
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def run(self, job: Job) -> None:
        """Run `job` once, if this process leads."""
        self._came[job.name] = time.monotonic()
        if not self._leadership.is_held:
            return
        began = time.monotonic()
        attempted = Attempted()

        def work() -> None:
            attempted.report = job.work(
                lambda: attempted.given_up.is_set() or not self._leadership.is_held
            )

        in_time = self._bounded(work, attempted, job.name, job.deadline_s)
        record = self._record(job, attempted, in_time=in_time, took_s=time.monotonic() - began)
        kept = Attempted()
        self._bounded(lambda: record_sweep(self._ledger, record), kept, "record", RECORDED_WITHIN_S)
        if kept.error is not None:
            log_notice(logging.WARNING, "sweep_unrecorded", job=job.name, why=kept.error)

    def overdue(self, jobs: Sequence[Job]) -> list[str]:
        """Jobs whose turn has not come for so long that the timetable must stand still, in words.

        Leading or not: whoever stands by has to be able to act at once.
        """
        now, said = time.monotonic(), []
        for job in jobs:
            silent_s = now - self._came.get(job.name, self._began)
            if silent_s > LATE * job.every_s + job.deadline_s:
                said.append(f"{job.name} had no turn for {silent_s:.0f} s")
        return said

    def _record(
        self, job: Job, attempted: Attempted, *, in_time: bool, took_s: float
    ) -> SweepRecord:
        scheduler, report = self._leadership.contender.id, attempted.report
        if not in_time:
            log_notice(logging.ERROR, "sweep_abandoned", job=job.name, after_s=job.deadline_s)
            error = f"it took longer than {job.deadline_s:g} s and was left to itself"
            return SweepRecord(job.name, scheduler, SweepResult.ABANDONED, took_s, error=error)
        if report is None:
            why = f"{type(attempted.error).__name__}: {attempted.error}"
            log_notice(logging.ERROR, "job_failed", job=job.name, why=why)
            return SweepRecord(job.name, scheduler, SweepResult.FAILED, took_s, error=why)
        if report.acted or report.lost_races or report.skipped or report.lost_workers:
            log_notice(
                logging.INFO,
                "sweep",
                job=job.name,
                found=report.found,
                skipped=report.skipped or None,
                lost_races=report.lost_races or None,
                lost_workers=report.lost_workers or None,
                **{str(action): count for action, count in report.acted.items()},
            )
        return SweepRecord(
            job.name,
            scheduler,
            SweepResult.SUCCEEDED,
            took_s,
            found=report.found,
            acted=report.acted.total(),
            skipped=report.skipped,
            lost_races=report.lost_races,
        )

    def _bounded(
        self, work: Callable[[], None], attempted: Attempted, name: str, within_s: float
    ) -> bool:
        """Run `work` in a thread of its own; whether it ended in time."""

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told by whoever waits
                attempted.error = error
            finally:
                self._ledger.leave_thread()

        thread = threading.Thread(target=guarded, name=f"lastword-{name}", daemon=True)
        thread.start()
        thread.join(within_s)
        if not thread.is_alive():
            return True
        attempted.given_up.set()
        with self._lock:
            self._hung = [*(item for item in self._hung if item.is_alive()), thread]
            hung = len(self._hung)
        if hung >= MOST_HUNG:
            log_notice(logging.ERROR, "scheduler_stuck", hung_sweeps=hung)
            self._give_up()
        return False
