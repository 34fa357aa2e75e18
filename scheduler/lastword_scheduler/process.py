"""The scheduler process: APScheduler over a table of jobs, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.interval import IntervalTrigger

from lastword.config import Config
from lastword.errors import LastwordError
from lastword.logs import log_notice
from lastword.pulse import Pulse
from lastword.storage.ledger import Ledger
from lastword_scheduler.leading import Leadership
from lastword_scheduler.listening import Look
from lastword_scheduler.running import Job, Runner

#: The share of its interval by which a job's runs are spread, so that schedulers fall out of step.
JITTER = 0.1

_TROUBLE = {
    EVENT_JOB_ERROR: "job_failed",
    EVENT_JOB_MISSED: "job_missed",
    EVENT_JOB_MAX_INSTANCES: "job_still_running",
}


def run_timetable(
    jobs: Sequence[Job],
    ledger: Ledger,
    leadership: Leadership,
    *,
    config: Config,
    serve: Callable[[Look], None],
) -> None:
    """Run the jobs, each by itself at its interval, until SIGTERM or SIGINT.

    Args:
        jobs: the timetable.
        ledger: where what they do is kept.
        leadership: whether this process acts.
        config: how often health is told, and where.
        serve: is given what looks at this process's health, before the first job runs.

    Raises:
        LastwordError: so many sweeps hang that only a new process helps.
    """
    stuck, scheduler = threading.Event(), _scheduler(len(jobs))

    def stop(*signalled: object) -> None:
        del signalled
        scheduler.shutdown(wait=False)

    def give_up() -> None:
        stuck.set()
        stop()

    runner = Runner(ledger, leadership, give_up=give_up)
    _put_down(jobs, scheduler, runner)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    pulse = _pulse(config, jobs, runner, leadership)
    serve(pulse.troubles)
    log_notice(logging.INFO, "scheduler_started", jobs=", ".join(job.name for job in jobs))
    _run(scheduler, leadership, pulse)
    log_notice(logging.INFO, "scheduler_stopped")
    if stuck.is_set():
        raise LastwordError(
            "the scheduler's sweeps hang", mend="let what started it start it again"
        )


def _run(scheduler: BlockingScheduler, leadership: Leadership, pulse: Pulse) -> None:
    leadership.start()
    pulse.start()
    try:
        scheduler.start()
    finally:
        pulse.stopping()
        leadership.stop()
        pulse.stop()


def _scheduler(jobs: int) -> BlockingScheduler:
    scheduler = BlockingScheduler(
        timezone="UTC",
        executors={"default": ThreadPoolExecutor(max(1, jobs))},
        # Late is better than never, once is enough, and never two at a time. APScheduler's own
        # default gives up on a run that is one second late.
        job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
    )
    scheduler.add_listener(_report, sum(_TROUBLE))
    return scheduler


def _put_down(jobs: Sequence[Job], scheduler: BlockingScheduler, runner: Runner) -> None:
    for job in jobs:
        scheduler.add_job(
            partial(runner.run, job),
            IntervalTrigger(seconds=job.every_s, jitter=job.every_s * JITTER, timezone="UTC"),
            id=job.name,
            name=job.name,
        )


def _pulse(config: Config, jobs: Sequence[Job], runner: Runner, leadership: Leadership) -> Pulse:
    def look() -> list[str]:
        dead = [] if leadership.is_alive() else ["the thread that keeps the lease died"]
        return dead + runner.overdue(jobs)

    file = Path(config.health_file) if config.health_file else None
    return Pulse(look, every_s=config.heartbeat_interval, file=file)


def _report(event: JobEvent) -> None:
    error = getattr(event, "exception", None)
    log_notice(logging.ERROR, _TROUBLE[event.code], job=event.job_id, why=error)
