"""The application of the campaign: jobs that keep a journal of their effects beside the ledger."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import time
from pathlib import Path

import dramatiq

import lastword_middleware
from lastword import current_run
from lastword.config import load_config
from lastword_middleware.broker import worker_broker

JOURNAL = Path(os.environ.get("CAMPAIGN_JOURNAL", os.devnull))

#: What must never be read by an operator: the words of an exception.
EXCEPTION_TEXT = "the-words-of-an-exception"

broker = worker_broker(load_config())
lastword_middleware.install(broker, config=load_config())
dramatiq.set_broker(broker)


def note(word: str, step: int = 0) -> None:
    """One line, written whole and on the disk before anything else is done."""
    run = current_run()
    journal = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        line = f"{word} {run.run_id} {run.attempt} {os.getpid()} {step}\n"
        os.write(journal, line.encode())
        os.fsync(journal)
    finally:
        os.close(journal)


def effect(step: int) -> None:
    """Have an effect unless this run has had it: the lock is what a target's own key would be."""
    with JOURNAL.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = [line.split() for line in JOURNAL.read_text().splitlines()]
        if not any(
            (line[0], line[1], line[4]) == ("effect", current_run().run_id, str(step))
            for line in done
        ):
            note("effect", step)


@dramatiq.actor(operation="campaign.steps")
def steps(count: int, pause: float) -> None:
    """Work in steps, each of which is done once however often the work is begun again."""
    note("begin")
    for step in range(count):
        effect(step)
        current_run().progress(processed=step + 1, total=count)
        time.sleep(pause)
    note("end")


@dramatiq.actor(operation="campaign.once")
def once(pause: float) -> None:
    """Work that must not be begun twice, and does nothing against it by itself."""
    note("begin")
    note("effect")
    time.sleep(pause)
    note("end")


@dramatiq.actor(operation="campaign.breaks")
def breaks() -> None:
    """Fail, with words that are nobody's business."""
    note("begin")
    raise RuntimeError(EXCEPTION_TEXT)


@dramatiq.actor(operation="campaign.steps", actor_name="hog")
def hog(seconds: float) -> None:
    """Hold the interpreter's lock in C, so that no other thread of the process runs."""
    note("begin")
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))
    note("end")


@dramatiq.actor(operation="campaign.steps", actor_name="stubborn")
def stubborn(seconds: float) -> None:
    """Hear nobody who asks it to stop: wait in C."""
    note("begin")
    ctypes.CDLL(None).usleep(int(seconds * 1_000_000))
    note("end")


@dramatiq.actor(operation="campaign.steps", actor_name="hungry")
def hungry() -> None:
    """Take memory until somebody puts an end to it."""
    note("begin")
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1024) * 8192))
        time.sleep(0.02)


@dramatiq.actor(operation="campaign.steps", actor_name="kill_worker")
def kill_worker() -> None:
    """Take the worker along, each time."""
    note("begin")
    os.kill(os.getpid(), signal.SIGKILL)
