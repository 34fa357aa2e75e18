"""Judges a ledger and a journal after the fact: plain SQL, and nothing of the product's own code.

What shows which invariant here:

- I1 converges: no run of the ledger is open, and none took longer than its stored limits allow.
- I2 once: one terminal event for each run, nothing but late results after it, the row agrees.
- I3 honest: `succeeded` has the `end` of just that attempt in the journal; a failure has a reason
  code; no operator-facing column has the words of an exception.
- I4 nothing lost: whatever the producer was told is accepted is in the ledger, with its payload.
- I5 fenced: attempts are numbered without gaps, claimed once each, and never overlap.
- I6 no false kill: whoever was called lost was harmed by the campaign; nothing was called stale;
  no message was called lost while the queue kept its own.
- I7 acknowledged after truth: an attempt that ended in the journal, in a worker that nobody harmed,
  has an end in the ledger. That nothing is acknowledged before is shown in `test_outage.py`.
- I8 bounded deliveries: no run lost more workers than its policy allows, by ledger and by journal.
- I9 numbers: the counts of a run are finite numbers under words.
- I10 quiet: no run of the system was told to anybody, none before its end, none twice. Telling
  people is shown in `tests/conformance/test_notifications.py`.
- Effects: no step of a run was done twice, and none of one that succeeded was left out; work that
  is never to be repeated was begun once at most.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Row = Mapping[str, Any]

#: The columns of the ledger that operators read.
READ_BY_OPERATORS = ("reason", "reconciliation", "failures", "summary_counts", "evidence")

#: Verdicts on workers, on messages, and on time that no run of the campaign ever takes.
LOSSES = ("worker_lost", "attempt_abandoned", "too_many_deliveries")
MISSING = ("message_lost", "message_stranded", "retry_lost", "message_dead_lettered")
STALE = ("stale_queued", "stale_running", "queue_wait_exceeded", "time_limit_exceeded")

#: Milliseconds that a sweep and the two transactions around a truth may take beside the limits.
MARGIN_MS = 15_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What there is to judge.

    Attributes:
        tables: the rows of the ledger, by table: run, event, attempt, worker, notification.
        journal: the lines that jobs wrote: word, run, attempt, process, step.
        accepted: the runs that the producer was told are accepted.
        harmed: the ids of processes that something was done to.
        may_lose_messages: whether the queue, too, was harmed.
        may_strand_messages: whether delayed messages may have been held past their time.
        exception_text: what no operator may read.
    """

    tables: Mapping[str, Sequence[Row]]
    journal: Sequence[Sequence[str]] = ()
    accepted: Sequence[str] = ()
    harmed: frozenset[int] = frozenset()
    may_lose_messages: bool = False
    may_strand_messages: bool = False
    exception_text: str = "the-words-of-an-exception"
    max_deliveries: int = 3


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise.

    Attributes:
        invariant: `I1` to `I10`, or `effects`.
        column: where the table counts it: wrong, lost, duplicated or false.
    """

    invariant: str
    column: str
    run_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.run_id}: {self.what}"


@dataclass(slots=True)
class Checker:
    """One look at one ledger."""

    evidence: Evidence
    runs: dict[str, Row] = field(default_factory=dict)
    events: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    attempts: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    pids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = self.evidence.tables
        self.runs = {row["id"]: row for row in tables["run"]}
        for row in sorted(tables["event"], key=lambda row: row["id"]):
            self.events[row["run_id"]].append(row)
        for row in sorted(tables["attempt"], key=lambda row: row["number"]):
            self.attempts[row["run_id"]].append(row)
        self.pids = {row["id"]: row["pid"] for row in tables["worker"]}

    def violations(self) -> list[Violation]:
        """Everything that is wrong."""
        found = [*self._accepted(), *self._notified(), *self._effects(), *self._recorded()]
        for run in self.runs.values():
            for judge in (
                *(self._converges, self._once, self._honest, self._fenced),
                *(self._no_false_kill, self._bounded, self._numbers),
            ):
                found += judge(run)
        return found

    def _converges(self, run: Row) -> Iterator[Violation]:
        if run["status"] != "completed":
            yield Violation("I1", "lost", run["id"], f"is still {run['status']}")
            return
        begins = 1 + run["retries"] + run["lost_deliveries"]
        limit = begins * (run["max_queue_wait_ms"] + run["running_stale_ms"]) + MARGIN_MS
        if run["completed_at"] - run["created_at"] > limit:
            yield Violation("I1", "lost", run["id"], "had its last word too late")

    def _once(self, run: Row) -> Iterator[Violation]:
        events = self.events[run["id"]]
        last = [event for event in events if event["terminal"]]
        if run["status"] == "completed" and len(last) != 1:
            yield Violation("I2", "wrong", run["id"], f"has {len(last)} last words")
        for event in last:
            if (event["outcome"], event["reason"]) != (run["outcome"], run["reason"]):
                yield Violation("I2", "wrong", run["id"], "row and event disagree")
            after = [one for one in events if one["id"] > event["id"]]
            if any(one["kind"] != "late_result" for one in after):
                yield Violation("I2", "wrong", run["id"], "went on after its last word")

    def _honest(self, run: Row) -> Iterator[Violation]:
        if run["outcome"] == "succeeded" and not self._lines("end", run["id"], run["attempt"]):
            yield Violation("I3", "wrong", run["id"], "succeeded, and its attempt has not returned")
        if run["outcome"] == "failed" and not re.fullmatch("[a-z_]+", run["reason"] or ""):
            yield Violation("I3", "wrong", run["id"], f"failed for {run['reason']!r}")
        for column in READ_BY_OPERATORS:
            if self.evidence.exception_text in str(run.get(column)):
                yield Violation("I3", "wrong", run["id"], f"{column} has an exception's words")

    def _accepted(self) -> Iterator[Violation]:
        for run_id in self.evidence.accepted:
            if not self.runs.get(run_id, {}).get("payload"):
                yield Violation("I4", "lost", run_id, "was accepted and is not in the ledger")

    def _fenced(self, run: Row) -> Iterator[Violation]:
        attempts = self.attempts[run["id"]]
        numbers = [row["number"] for row in attempts]
        if numbers != list(range(1, run["attempt"] + 1)):
            yield Violation("I5", "wrong", run["id"], f"attempts are numbered {numbers}")
        claims = Counter(e["attempt"] for e in self.events[run["id"]] if e["kind"] == "claimed")
        if any(count > 1 for count in claims.values()):
            yield Violation("I5", "wrong", run["id"], "an attempt was claimed twice")
        for earlier, later in pairwise(attempts):
            if earlier["ended_at"] is None or earlier["ended_at"] > later["started_at"]:
                yield Violation("I5", "wrong", run["id"], "two attempts were current at once")

    def _no_false_kill(self, run: Row) -> Iterator[Violation]:
        for event in self.events[run["id"]]:
            if event["kind"] not in ("redispatched", "completed"):
                continue
            reason = event["reason"]
            if reason in STALE:
                yield Violation("I6", "false", run["id"], f"{reason}, and it was not")
            if reason in LOSSES and self.pids.get(event["worker_id"]) not in self.evidence.harmed:
                yield Violation("I6", "false", run["id"], f"{reason}, and its worker was well")
            is_stranded = reason == "message_stranded" and self.evidence.may_strand_messages
            if reason in MISSING and not is_stranded and not self.evidence.may_lose_messages:
                yield Violation("I6", "false", run["id"], f"{reason}, and the queue was well")

    def _bounded(self, run: Row) -> Iterator[Violation]:
        if run["lost_deliveries"] > self.evidence.max_deliveries:
            yield Violation("I8", "wrong", run["id"], f"lost {run['lost_deliveries']} workers")
        begun = len(self._lines("begin", run["id"]))
        if begun > self.evidence.max_deliveries + run["retries"]:
            yield Violation("I8", "wrong", run["id"], f"was begun {begun} times")

    def _numbers(self, run: Row) -> Iterator[Violation]:
        counts = run["summary_counts"]
        for key, value in (json.loads(counts) if isinstance(counts, str) else counts or {}).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or not re.fullmatch("[a-z_]+", key):
                yield Violation("I9", "wrong", run["id"], f"counts {key}: {value!r}")

    def _notified(self) -> Iterator[Violation]:
        told = Counter(row["run_id"] for row in self.evidence.tables["notification"])
        for run_id, times in told.items():
            run = self.runs.get(run_id, {})
            if times > 1 or not run.get("initiator_id") or run.get("status") != "completed":
                yield Violation("I10", "wrong", run_id, "was told where there was nothing to tell")

    def _recorded(self) -> Iterator[Violation]:
        for word, run_id, attempt, pid, _ in self.evidence.journal:
            if word != "end" or int(pid) in self.evidence.harmed:
                continue
            rows = [row for row in self.attempts[run_id] if row["number"] == int(attempt)]
            if not rows or rows[0]["ended_at"] is None:
                yield Violation("I7", "lost", run_id, f"the end of attempt {attempt} was lost")

    def _effects(self) -> Iterator[Violation]:
        done = Counter((line[1], line[4]) for line in self.evidence.journal if line[0] == "effect")
        for (run_id, step), times in done.items():
            if times > 1:
                yield Violation("effects", "duplicated", run_id, f"did step {step} {times} times")
        for run in self.runs.values():
            if run["actor_name"] == "once" and len(self._lines("begin", run["id"])) > 1:
                yield Violation("effects", "duplicated", run["id"], "was begun again")
            missing = self._steps_asked(run) - sum(1 for run_id, _ in done if run_id == run["id"])
            if run["outcome"] == "succeeded" and missing > 0:
                yield Violation("effects", "lost", run["id"], f"{missing} steps were not done")

    def _steps_asked(self, run: Row) -> int:
        if run["actor_name"] != "steps" or not run["payload"]:
            return 0
        return int(json.loads(run["payload"])["kwargs"]["count"])

    def _lines(self, word: str, run_id: str, attempt: int | None = None) -> list[Sequence[str]]:
        return [
            line
            for line in self.evidence.journal
            if line[:2] == [word, run_id] and attempt in (None, int(line[2]))
        ]
