"""What a step may do to the ledger, and the judge who compares the pictures before and after it.

The judge keeps the little that the tables do not say: what workers reported, and the earliest
moment at which each attempt can have begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lastword.service.reconciling import CANCEL_BOUND_MS
from lastword.service.reserving import BEGIN_WITHIN_MS
from lastword.service.values import AttemptEnd, Beginning
from lastword.storage.ledger import Row
from tests.faults.picture import (
    Picture,
    ended_attempts,
    moved,
    require_nothing_rewritten,
)


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody may do with one verb.

    Attributes:
        name: the verb.
        moves: the runs that it may move; their parents may end with them.
        attempt: the attempt it speaks for or of; no other may be ended by it.
        worker_id: the worker that speaks for that attempt; None for somebody else's verdict.
        is_outsider: whether it acts on what it saw from outside, and so must spare what is alive.
        sweeps: whether it may move whatever is not alive.
    """

    name: str
    moves: frozenset[str] = frozenset()
    attempt: tuple[str, int] | None = None
    worker_id: str | None = None
    is_outsider: bool = False
    sweeps: bool = False


@dataclass(slots=True)
class Judge:
    """Keeps what was said, and holds every step against the promise."""

    #: (run, attempt, worker, outcome) as reported by workers, in time or late.
    reported: set[tuple[str, int, str, str]] = field(default_factory=set)
    #: (run, attempt) to the moment by the ledger's clock before which it cannot have begun.
    not_before: dict[tuple[str, int], int] = field(default_factory=dict)

    def hear(self, end: AttemptEnd) -> None:
        self.reported.add((end.run_id, end.attempt, end.worker_id, end.outcome))

    def see_begin(self, before: Picture, beginning: Beginning) -> None:
        # Whatever its worker says of its age: it was fetched first, and that moment is known.
        held_at = before.runs[beginning.run_id]["held_at"]
        self.not_before[(beginning.run_id, beginning.attempt)] = held_at

    def see_claim(self, before: Picture, run_id: str, attempt: int) -> None:
        self.not_before.setdefault((run_id, attempt), before.now)

    def compare(self, before: Picture, after: Picture, step: Step) -> None:
        """Raises AssertionError where a step did what it may not."""
        require_nothing_rewritten(before, after)
        changed = moved(before, after)
        if step.is_outsider:
            # I6: no false kill, and no second start of what is in a live worker's hands.
            assert not changed & set(self._alive_and_well(before)), step
        if not step.sweeps:
            assert changed <= set(before.line_of(step.moves)), step
        self._require_own_ending(before, after, step)
        for run_id in changed:
            if after.runs[run_id]["status"] == "completed":
                self._require_honest(after, after.runs[run_id])

    def _require_own_ending(self, before: Picture, after: Picture, step: Step) -> None:
        # I5: an attempt is ended by its own worker, or by a verdict on just this attempt.
        for key in ended_attempts(before, after):
            if step.sweeps:
                continue
            assert key == step.attempt, step
            assert step.worker_id in (None, before.attempts[key]["worker_id"]), step

    def _require_honest(self, after: Picture, run: Row) -> None:
        # I3: success is never a guess: the current attempt's own worker said it, and so did
        # everything that the run is made of.
        if run["outcome"] not in ("succeeded", "partially_succeeded"):
            return
        said = run["outcome"] if run["returned_outcome"] is None else run["returned_outcome"]
        assert (run["id"], run["attempt"], run["worker_id"], said) in self.reported, run
        children = after.children_of(run["id"])
        assert all(child["status"] == "completed" for child in children), run
        if run["outcome"] == "succeeded":
            assert all(child["outcome"] == "succeeded" for child in children), run

    def _alive_and_well(self, picture: Picture) -> Iterator[str]:
        for run_id, row in picture.runs.items():
            if row["status"] == "queued" and self._may_be_begun(picture, row):
                yield run_id
            if row["status"] == "running" and self._is_well(picture, row):
                yield run_id

    def _may_be_begun(self, picture: Picture, row: Row) -> bool:
        holder = row["holder"]
        if not picture.is_alive(holder):
            return False
        told_since = picture.workers[holder]["listed_at"] > row["held_at"] + BEGIN_WITHIN_MS
        return picture.lists(holder, row["id"]) or not told_since

    def _is_well(self, picture: Picture, row: Row) -> bool:
        asked_at = row["cancel_requested_at"]
        began_at = self.not_before[(row["id"], row["attempt"])]
        return (
            row["returned_at"] is None
            and picture.is_alive(row["worker_id"])
            and picture.lists(row["worker_id"], row["id"])
            and picture.now < began_at + row["running_stale_ms"]
            and (asked_at is None or asked_at > picture.now - CANCEL_BOUND_MS)
        )
