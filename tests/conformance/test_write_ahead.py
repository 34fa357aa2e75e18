"""The log of a SQLite file stays short beside readers that never leave it alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lastword.identity import new_run_id
from lastword.service.requests import NewRun
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.write_ahead import LONGEST_BYTES, log_bytes, shorten_log
from lastword_scheduler.retention import Shortening
from tests.support import Scene, policy

#: Bytes written in each test, in batches of a megabyte or so.
WRITTEN = 120 * 10**6


@contextmanager
def beside(work: Callable[[Ledger, threading.Event], object], url: str) -> Iterator[None]:
    """Somebody with a connection of their own, meanwhile."""
    done = threading.Event()
    ledger = open_ledger(url)

    def guarded() -> None:
        try:
            work(ledger, done)
        finally:
            ledger.leave_thread()

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def read_on(ledger: Ledger, done: threading.Event) -> None:
    """One transaction that reads after the other; there is always one that is open."""
    while not done.is_set():
        with ledger.session(), ledger.database.atomic("DEFERRED"):
            ledger.execute("SELECT COUNT(*) FROM lastword_run WHERE completed_at IS NULL")
            done.wait(0.01)


def write(scene: Scene) -> int:
    """Accept runs, batch after batch; how long the log was at most, in bytes."""
    written, longest = 0, 0
    payload = "x" * 50_000
    while written < WRITTEN:
        runs = [NewRun(new_run_id(), policy(), "build_report", payload) for _ in range(20)]
        scene.runs.accept(runs)
        written += len(runs) * len(payload)
        longest = max(longest, log_bytes(scene.ledger))
    return longest


def test_the_log_stays_short_however_busy_its_readers_are(
    sqlite_ledger: Ledger, sqlite_url: str
) -> None:
    def look_after(ledger: Ledger, done: threading.Event) -> None:
        while not done.wait(0.1):
            Shortening(ledger).sweep()

    with (
        beside(read_on, sqlite_url),
        beside(read_on, sqlite_url),
        beside(look_after, sqlite_url),
    ):
        longest = write(Scene(sqlite_ledger))
    assert longest < 60 * 10**6
    # With nobody there to read, it is cut to nothing.
    shorten_log(sqlite_ledger)
    assert log_bytes(sqlite_ledger) <= LONGEST_BYTES


def test_a_read_that_does_not_end_is_waited_for_no_longer_than_writers_can_bear(
    sqlite_ledger: Ledger, sqlite_url: str
) -> None:
    scene, reader = Scene(sqlite_ledger), open_ledger(sqlite_url)
    with reader.session(), reader.database.atomic("DEFERRED"):
        reader.execute("SELECT COUNT(*) FROM lastword_run")
        write(scene)
        began, now = time.monotonic(), iter((0.0, 0.0, 59.0, 61.0, 61.0))
        job = Shortening(sqlite_ledger, clock=lambda: next(now))
        assert job.sweep().skipped == 1
        assert time.monotonic() - began < 3
        assert not job.sweep().found
        assert job.sweep().skipped == 1
        scene.accept()
    assert shorten_log(sqlite_ledger) > WRITTEN / 2
    assert log_bytes(sqlite_ledger) == 0
    reader.close()


def test_a_short_log_is_left_alone(ledger: Ledger) -> None:
    Scene(ledger).accept()
    before = log_bytes(ledger)
    assert before < LONGEST_BYTES
    assert shorten_log(ledger) == 0
    assert log_bytes(ledger) == before


def test_a_log_that_begins_anew_gives_its_room_back(sqlite_ledger: Ledger) -> None:
    with sqlite_ledger.session():
        [row] = sqlite_ledger.execute("PRAGMA journal_size_limit")
    assert row["journal_size_limit"] == LONGEST_BYTES
