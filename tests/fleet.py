"""The application of the process tests: actors that note what they do in a journal of their own."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

import dramatiq
from dramatiq.asyncio import async_to_sync
from dramatiq.worker import ConsumerThread

import lastword_middleware
from lastword import current_run
from lastword.config import load_config
from lastword_middleware.broker import worker_broker

JOURNAL = Path(os.environ.get("FLEET_JOURNAL", os.devnull))

if os.environ.get("FLEET_SPANS"):
    # As an application does that wants its traces; the others do not even import it.
    from tests.spans import write_spans

    write_spans(Path(os.environ["FLEET_SPANS"]))

config = load_config()
broker = worker_broker(config, async_actors=bool(os.environ.get("FLEET_ASYNC")))
application = lastword_middleware.install(broker, config=config)
dramatiq.set_broker(broker)


if os.environ.get("FLEET_HANGS"):
    # A process that cannot come to its end.
    broker.close = lambda: time.sleep(3600)  # type: ignore[method-assign]


def note(word: str) -> None:
    """One line, written at once and whole."""
    run = current_run()
    with JOURNAL.open("a") as journal:
        journal.write(f"{word} {run.run_id} {run.attempt} {os.getpid()}\n")


@dramatiq.actor(operation="fleet.work")
def work(seconds: float = 0.0, until_file: str = "") -> None:
    """Work for a while, or until a file appears."""
    note("begin")
    deadline = time.monotonic() + (30 if until_file else seconds)
    while time.monotonic() < deadline and not (until_file and Path(until_file).exists()):
        time.sleep(0.02)
    note("end")


@dramatiq.actor(operation="fleet.once")
def once(until_file: str = "") -> None:
    """Work that its policy never repeats."""
    work.fn(until_file=until_file)


@dramatiq.actor(operation="fleet.work", actor_name="keep_loop")
def keep_loop(until_file: str = "") -> None:
    """Work; under FLEET_ASYNC on the event loop, which it never gives back."""
    work.fn(until_file=until_file)


if os.environ.get("FLEET_ASYNC"):

    async def keeping(until_file: str = "") -> None:
        work.fn(until_file=until_file)

    keep_loop.fn = async_to_sync(keeping)


@dramatiq.actor(operation="fleet.work", actor_name="hog")
def hog(seconds: float) -> None:
    """Hold the interpreter's lock in C, so that no other thread of the process runs."""
    note("begin")
    libc = ctypes.PyDLL(None)
    libc.usleep(int(seconds * 1_000_000))
    note("end")


@dramatiq.actor(operation="fleet.work", actor_name="lose_consumer")
def lose_consumer() -> None:
    """Let a thread that fetches end, as a failover of Redis can in Dramatiq."""
    for thread in threading.enumerate():
        if isinstance(thread, ConsumerThread) and thread.queue_name == "default":
            thread.stop()


@dramatiq.actor(operation="fleet.work", actor_name="kill_worker")
def kill_worker() -> None:
    """A job that takes its worker with it, each time."""
    note("begin")
    os.kill(os.getpid(), signal.SIGKILL)


@dramatiq.actor(operation="fleet.once", actor_name="kill_worker_once")
def kill_worker_once() -> None:
    """Work that its policy never repeats, and that takes its worker with it at once."""
    kill_worker.fn()
