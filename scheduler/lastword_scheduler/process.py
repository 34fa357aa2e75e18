"""The scheduler process: APScheduler over a table of jobs, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence
from functools import partial
from types import FrameType

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.interval import IntervalTrigger

from lastword.errors import LastwordError
from lastword.logs import log_notice
from lastword.storage.ledger import Ledger
from lastword_scheduler.leading import Leadership
from lastword_scheduler.running import Job, Runner

#: The share of its interval by which a job's runs are spread, so that schedulers fall out of step.
JITTER = 0.1

_TROUBLE = {
    EVENT_JOB_ERROR: "job_failed",
    EVENT_JOB_MISSED: "job_missed",
    EVENT_JOB_MAX_INSTANCES: "job_still_running",
}


def run_timetable(jobs: Sequence[Job], ledger: Ledger, leadership: Leadership) -> None:
    """Run the jobs, each by itself at its interval, until SIGTERM or SIGINT.

    Raises:
        LastwordError: so many sweeps hang that only a new process helps.
    """
    scheduler = BlockingScheduler(
        timezone="UTC",
        executors={"default": ThreadPoolExecutor(max(1, len(jobs)))},
        # Late is better than never, once is enough, and never two at a time. APScheduler's own
        # default gives up on a run that is one second late.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    stuck = threading.Event()

    def give_up() -> None:
        stuck.set()
        scheduler.shutdown(wait=False)

    runner = Runner(ledger, leadership, give_up=give_up)
    for job in jobs:
        scheduler.add_job(
            partial(runner.run, job),
            IntervalTrigger(seconds=job.every_s, jitter=job.every_s * JITTER, timezone="UTC"),
            id=job.name,
            name=job.name,
        )
    scheduler.add_listener(_report, sum(_TROUBLE))

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        scheduler.shutdown(wait=False)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    leadership.start()
    log_notice(logging.INFO, "scheduler_started", jobs=", ".join(job.name for job in jobs))
    try:
        scheduler.start()
    finally:
        leadership.stop()
    log_notice(logging.INFO, "scheduler_stopped")
    if stuck.is_set():
        raise LastwordError(
            "the scheduler's sweeps hang", mend="let what started it start it again"
        )


def _report(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    log_notice(logging.ERROR, _TROUBLE[event.code], job=event.job_id, why=error)
