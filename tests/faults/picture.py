"""What a ledger says, read by plain SQL, and what must hold of any such picture whatever happened.

Nothing here asks the service: the promises are judged from the tables alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from lastword.service.counters import Counted
from lastword.storage.ledger import Ledger, Row

#: The clock's first moment, in milliseconds: years away from the clock of any process here.
FIRST_MS = 1_700_000_000_000

#: Every table that a life writes to; children of a foreign key first.
TABLES = ("counter", "event", "attempt", "run", "worker", "policy")


def inject_clock(ledger: Ledger) -> None:
    """Let the ledger's own clock be a row of a table, which passes only when it is told to."""
    with ledger.transaction():
        ledger.execute("CREATE TABLE test_clock (clock_ms BIGINT NOT NULL)")
        ledger.execute(f"INSERT INTO test_clock VALUES ({FIRST_MS})")
    # Of a frozen dataclass whose `now_ms` is a field in both dialects.
    ledger.dialect = replace(ledger.dialect, now_ms="(SELECT clock_ms FROM test_clock)")  # type: ignore[type-var]


def pass_time(ledger: Ledger, milliseconds: int) -> None:
    with ledger.transaction():
        ledger.execute(f"UPDATE test_clock SET clock_ms = clock_ms + {milliseconds}")


def wipe(ledger: Ledger) -> None:
    """Empty the tables for the next life; the clock goes on."""
    with ledger.transaction():
        for table in TABLES:
            ledger.execute(f"DELETE FROM lastword_{table}")


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that the ledger says at one moment."""

    now: int
    runs: Mapping[str, Row]
    attempts: Mapping[tuple[str, int], Row]
    events: tuple[Row, ...]
    workers: Mapping[str, Row]
    late_results: Mapping[str, int]

    @classmethod
    def of(cls, ledger: Ledger) -> Self:
        with ledger.session():
            [clock] = ledger.execute("SELECT clock_ms FROM test_clock")
            attempts = ledger.execute("SELECT * FROM lastword_attempt")
            counters = ledger.execute("SELECT * FROM lastword_counter")
            return cls(
                now=clock["clock_ms"],
                runs=_by_id(ledger.execute("SELECT * FROM lastword_run")),
                attempts={(row["run_id"], row["number"]): row for row in attempts},
                events=tuple(ledger.execute("SELECT * FROM lastword_event ORDER BY id")),
                workers=_by_id(ledger.execute("SELECT * FROM lastword_worker")),
                late_results={
                    row["label"]: row["value"]
                    for row in counters
                    if row["name"] == Counted.LATE_RESULTS
                },
            )

    def at(self, now: int) -> Self:
        """The same at a later moment, if nothing has changed."""
        return replace(self, now=now)

    def is_alive(self, worker_id: str | None) -> bool:
        """Whether a worker's lease is live."""
        row = self.workers.get(worker_id or "")
        return bool(row and row["ended_at"] is None and row["lease_until"] > self.now)

    def lists(self, worker_id: str, run_id: str) -> bool:
        """Whether a worker's last heartbeat has the run."""
        return run_id in self.workers[worker_id]["working"]

    def line_of(self, run_ids: Iterable[str]) -> Iterator[str]:
        """Runs with their parents and the parents of those, who may end with them."""
        for run_id in run_ids:
            found: str | None = run_id
            while found is not None:
                yield found
                found = self.runs[found]["parent_id"] if found in self.runs else None

    def children_of(self, run_id: str) -> list[Row]:
        return [row for row in self.runs.values() if row["parent_id"] == run_id]


def require_one_truth(picture: Picture) -> None:
    """I2: exactly one terminal event iff completed, and the two say the same."""
    ends = Counter(event["run_id"] for event in picture.events if event["terminal"])
    completed = {run_id for run_id, row in picture.runs.items() if row["status"] == "completed"}
    assert ends == dict.fromkeys(completed, 1)
    for event in picture.events:
        run = picture.runs[event["run_id"]]
        if event["terminal"]:
            assert (event["outcome"], event["reason"]) == (run["outcome"], run["reason"])


def require_one_current_attempt(picture: Picture) -> None:
    """I5: an attempt is open exactly while its run is running and it has not returned."""
    is_open = {
        key: row["worker_id"] for key, row in picture.attempts.items() if not row["ended_at"]
    }
    assert is_open == {
        (row["id"], row["attempt"]): row["worker_id"]
        for row in picture.runs.values()
        if row["status"] == "running" and row["returned_at"] is None
    }
    for row in picture.runs.values():
        numbers = {number for run_id, number in picture.attempts if run_id == row["id"]}
        assert numbers == {*range(1, row["attempt"] + 1)}


def require_late_results_counted_once(picture: Picture) -> None:
    """I5: at most one late result for each attempt, and as many in the counter."""
    late = [event for event in picture.events if event["kind"] == "late_result"]
    assert len({(event["run_id"], event["attempt"]) for event in late}) == len(late)
    operations = Counter(picture.runs[event["run_id"]]["operation"] for event in late)
    assert operations == picture.late_results


def require_children_counted(picture: Picture) -> None:
    """An active parent knows its children; one that only waits for them ends with the last."""
    for run in picture.runs.values():
        if run["status"] == "completed":
            continue
        children = picture.children_of(run["id"])
        ended = [child for child in children if child["status"] == "completed"]
        succeeded = [child for child in ended if child["outcome"] == "succeeded"]
        assert (run["children"], run["children_open"], run["children_succeeded"]) == (
            len(children),
            len(children) - len(ended),
            len(succeeded),
        )
        assert run["returned_at"] is None or run["children_open"] > 0


def require_nothing_rewritten(before: Picture, after: Picture) -> None:
    """I2: what is completed, ended or told stays as it was, in every column."""
    for run_id, row in before.runs.items():
        if row["status"] == "completed":
            assert after.runs[run_id] == row
    for key, row in before.attempts.items():
        started = ("worker_id", "started_at")
        kept = row if row["ended_at"] else {name: row[name] for name in started}
        assert kept.items() <= after.attempts[key].items()
    assert after.events[: len(before.events)] == before.events


def moved(before: Picture, after: Picture) -> set[str]:
    """The runs that are not where they were: in state, in the queue, or in whose hands."""
    places = ("status", "outcome", "attempt", "dispatch", "worker_id", "returned_at")
    return {
        run_id
        for run_id, row in before.runs.items()
        if any(row[name] != after.runs[run_id][name] for name in places)
    }


def ended_attempts(before: Picture, after: Picture) -> Iterator[tuple[str, int]]:
    """The attempts that were open and are not."""
    for key, row in before.attempts.items():
        if not row["ended_at"] and after.attempts[key]["ended_at"]:
            yield key


def _by_id(rows: list[Row]) -> dict[str, Row]:
    return {row["id"]: row for row in rows}
