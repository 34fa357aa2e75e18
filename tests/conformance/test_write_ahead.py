"""The log of a SQLite file stays short beside readers that never leave it alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lastword.identity import new_run_id
from lastword.service import RunService
from lastword.service.requests import NewRun
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.write_ahead import (
    FIRST_PUT_OFF_S,
    LONGEST_BYTES,
    LONGEST_PUT_OFF_S,
    PATIENCE_S,
    LogFolding,
    log_bytes,
)
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


def write_in_one(ledger: Ledger) -> None:
    """More than the log may keep, in the transaction that is open."""
    for _ in range(2 * LONGEST_BYTES // 10**6):
        payload = "x" * 50_000
        runs = [NewRun(new_run_id(), policy(), "build_report", payload) for _ in range(20)]
        RunService(ledger).accept(runs)


def test_the_log_stays_short_however_busy_its_readers_are(
    sqlite_ledger: Ledger, sqlite_url: str
) -> None:
    with beside(read_on, sqlite_url), beside(read_on, sqlite_url):
        longest = write(Scene(sqlite_ledger))
    assert longest < 60 * 10**6
    assert log_bytes(sqlite_ledger) <= longest


def test_a_read_that_does_not_end_is_waited_for_seldom_and_never_for_long(
    sqlite_ledger: Ledger, sqlite_url: str
) -> None:
    later = [0.0]
    folding = LogFolding(sqlite_ledger, clock=lambda: time.monotonic() + later[0])

    def took() -> float:
        began = time.monotonic()
        folding()
        return time.monotonic() - began

    reader = open_ledger(sqlite_url)
    with reader.session(), reader.database.atomic("DEFERRED"):
        reader.execute("SELECT COUNT(*) FROM lastword_run")
        began = time.monotonic()
        write(Scene(sqlite_ledger))
        assert time.monotonic() - began < 20
        assert log_bytes(sqlite_ledger) > WRITTEN / 2
        assert PATIENCE_S / 2 < took() < 3
        assert took() < PATIENCE_S / 2
        later[0] += 1.1 * FIRST_PUT_OFF_S
        assert took() > PATIENCE_S / 2
        assert took() < PATIENCE_S / 2
    assert log_bytes(sqlite_ledger) > WRITTEN / 2
    later[0] += LONGEST_PUT_OFF_S
    folding()
    assert log_bytes(sqlite_ledger) == 0
    reader.close()


def test_nothing_is_folded_inside_a_transaction_or_while_the_log_is_short(
    sqlite_ledger: Ledger,
) -> None:
    Scene(sqlite_ledger).accept()
    before = log_bytes(sqlite_ledger)
    assert 0 < before < LONGEST_BYTES
    LogFolding(sqlite_ledger)()
    assert log_bytes(sqlite_ledger) == before
    with sqlite_ledger.transaction():
        write_in_one(sqlite_ledger)
        LogFolding(sqlite_ledger)()
    assert log_bytes(sqlite_ledger) == 0


def test_a_log_that_begins_anew_gives_its_room_back(sqlite_ledger: Ledger) -> None:
    with sqlite_ledger.session():
        [row] = sqlite_ledger.execute("PRAGMA journal_size_limit")
    assert row["journal_size_limit"] == LONGEST_BYTES
