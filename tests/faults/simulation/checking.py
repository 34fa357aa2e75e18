"""After each move: what the tables say, held against the promise and against what happened.

Neither the service nor a reconciler is asked; the tables are read by plain SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lastword.identity import RunId
from lastword.policy import OnLoss
from lastword.service.reconciling import CANCEL_BOUND_MS
from lastword.service.values import Reservation
from lastword.states import RECONCILERS, Source
from lastword.storage.ledger import Row
from tests.faults import picture
from tests.faults.picture import Picture
from tests.faults.simulation.course import Course
from tests.faults.simulation.journal import Execution
from tests.faults.simulation.moves import Go, Kill, Move
from tests.faults.simulation.queues import Note
from tests.faults.simulation.records import SOURCES
from tests.faults.simulation.tables import Tables

if TYPE_CHECKING:
    from tests.faults.simulation.actors import Actor
    from tests.faults.simulation.stage import Stage

#: Those who end a run whose worker is lost.
LOSS = {Source.GENERIC, Source.SENTINEL}

#: Ends that a worker reports of its own attempt.
REPORTED = {Source.WORKER, Source.CHILDREN}


class Checks:
    """Holds every move of a life against the promise.

    Attributes:
        seen: what the ledger said after the last move.
        records: what the records of the domain said: how each ended, and when.
        course: how each run came to where it is.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._tables = Tables(stage.ledger)
        self.seen = self._tables.picture(stage.actors.now)
        self.records: dict[str, tuple[str, int | None]] = {}
        self.course = Course()
        self._recorded_at: dict[str, int] = {}
        self._changes = -1
        self._before: set[str] = set()
        self._told: set[str] = set()
        self._actor: Actor | None = None

    def begin(self, move: Move) -> None:
        """Remember what is in good hands before a move."""
        self._actor = self._stage.actors.by_name.get(move.actor) if isinstance(move, Go) else None
        self._before = set(self._in_good_hands())
        self._told = set(self._told_by_records()) if self._judges() else set()

    def end(self, move: Move) -> None:
        """Compare.

        Raises:
            AssertionError: something does not hold.
        """
        changes, now = self._tables.changes, self._stage.actors.now
        if changes == self._changes and not isinstance(move, Kill):
            self.seen = self.seen.at(now)
            return
        self._changes = changes
        before, self.seen = self.seen, self._tables.picture(now)
        self._see_records()
        self._follow(before)
        self._require_story()
        picture.require_nothing_rewritten(before, self.seen)
        for run_id in picture.moved(before, self.seen):
            row = self.seen.runs[run_id]
            if run_id in self._told:
                # What the domain knows of its end wins over all that can be seen from outside.
                told = self.records[run_id][0]
                assert (row["closed_by"], row["outcome"]) == (self._reader(run_id), told), row
            # I6: whoever is not at work on it leaves alone what is well, and what waits in a queue.
            elif self._reader(run_id) != row["closed_by"] or row["closed_by"] is None:
                assert run_id not in self._before, f"{run_id} was in good hands"
        for run_id, row in self.seen.runs.items():
            old = before.runs.get(run_id)
            if row["status"] == "completed" and (old is None or old["status"] != "completed"):
                self._require_honest(row)
        for execution in self._stage.journal.executions:
            self._require_bounded(execution)

    def require_startable(self, execution: Execution) -> None:
        """I5: nobody else is well at work on it; and what may not repeat itself does not."""
        seen = self._now()
        for other in self._stage.journal.of_run(execution.run_id):
            assert not self._is_well(seen, other), f"{execution} beside {other}"
            policy = self._stage.policy_of(execution.run_id)
            if policy.on_worker_lost is OnLoss.FAIL:
                assert not other.has_died, f"{execution} repeats {other}"

    def require_free(self, reservation: Reservation) -> None:
        """I5, before the start: one live worker, the current delivery, not asked to stop."""
        seen = self._now()
        row = seen.runs[reservation.run_id]
        assert (row["status"], row["dispatch"]) == ("queued", reservation.dispatch), row
        assert row["holder"] == reservation.worker_id, row
        assert row["cancel_requested_at"] is None, row
        assert seen.is_alive(reservation.worker_id), row

    def require_settled(self, execution: Execution) -> None:
        """I7: a message is acknowledged once the ledger holds what became of its attempt."""
        row = self._now().runs[execution.run_id]
        current = (row["attempt"], row["worker_id"]) == (execution.attempt, execution.worker_id)
        works = row["status"] == "running" and row["returned_at"] is None
        assert not (current and works), f"{execution} is acknowledged before its end is written"
        unwritten = row["status"] == "queued" and row["holder"] == execution.worker_id
        assert not (unwritten and row["dispatch"] == execution.dispatch), execution

    def require_refusable(self, note: Note) -> None:
        """I7: what a worker refuses and drops is not the message that its run waits for."""
        row = self._now().runs.get(note.run_id)
        waits = row is not None and row["status"] == "queued"
        if row is not None and waits and row["cancel_requested_at"] is None:
            mine = (row["dispatch"], row["message_ref"]) == (note.dispatch, note.ref)
            assert not mine, f"{note} is all that the broker has of its run"

    def require_rejected(self, note: Note, worker_id: str) -> None:
        """I7: what the queue gave up on has ended its run, or somebody else has that in hand."""
        seen = self._now()
        row = seen.runs.get(note.run_id)
        holder = row["holder"] if row is not None else None
        if holder == worker_id or not seen.is_alive(holder):
            self.require_refusable(note)

    def require_rest(self) -> None:
        """I1 and I4: every run is completed; no attempt is open."""
        assert list(self._stage.open_runs()) == [], "not completed in time"
        assert all(row["ended_at"] for row in self.seen.attempts.values())

    def _follow(self, before: Picture) -> None:
        # Each step of a run is an arrow of the state machine, and leads to where its row is.
        for event in self.seen.events[len(before.events) :]:
            self.course.follow(event)
        standing = {run_id: row["status"] for run_id, row in self.seen.runs.items()}
        assert standing == self.course.standing

    def _see_records(self) -> None:
        self.records, before = self._stage.records.seen(), self.records
        for run_id, (status, ended_at) in self.records.items():
            if ended_at is None or before.get(run_id, ("", None))[1] is not None:
                continue
            self._recorded_at[run_id] = self._stage.actors.calls
            told = self._stage.records.told.get(RunId(run_id))
            over = self.seen.runs[run_id]["status"] == "completed"
            assert over or status == told, f"the record of {run_id} was ended by nobody"

    def _reader(self, run_id: str) -> Source | None:
        return SOURCES.get(self._stage.starts[RunId(run_id)].operation)

    def _told_by_records(self) -> list[str]:
        # Those whose record held the end before this sweep began.
        if self._actor is None or self._actor.process.startswith("operator"):
            return []
        since = self._actor.woken_at_call
        return [run_id for run_id, call in self._recorded_at.items() if call < since]

    def _judges(self) -> bool:
        return self._actor is not None and self._actor.is_outsider

    def _require_story(self) -> None:
        picture.require_one_truth(self.seen)
        picture.require_one_current_attempt(self.seen)
        picture.require_late_results_counted_once(self.seen)
        picture.require_children_counted(self.seen)
        self._require_told_once()
        for row in self.seen.runs.values():
            expected = self._expected_freshness(row)
            assert row["freshness"] == expected, f"I11: {row['id']} is {expected}"

    def _require_told_once(self) -> None:
        # I10: the person who started it, once it has ended, once.
        told = self._tables.notifications()
        expected = {
            (run_id, row["initiator_id"]): 1
            for run_id, row in self.seen.runs.items()
            if row["status"] == "completed" and row["initiator_id"] is not None
        }
        assert told == expected

    def _expected_freshness(self, row: Row) -> str:
        if row["status"] == "completed":
            reconciled = row["outcome"] == "failed" and row["closed_by"] in RECONCILERS
            return "reconciled_failed" if reconciled else "terminal_normal"
        works = row["status"] == "running" and row["returned_at"] is None
        lost = works and not self.seen.is_alive(row["worker_id"])
        return "likely_stale" if lost or row["stale_at"] <= self.seen.now else "fresh_active"

    def _require_honest(self, row: Row) -> None:
        # I3: an end that a worker is said to have reported was reported by the worker of the
        # current attempt; a failure says why.
        run_id = row["id"]
        if row["outcome"] == "blocked" and row["closed_by"] in (Source.START, Source.GATE):
            assert not self._stage.journal.of_run(run_id), f"{run_id} was begun before: {row}"
        if row["closed_by"] in REPORTED:
            outcome = row["returned_outcome"] or row["outcome"]
            told = (row["id"], row["attempt"], row["worker_id"], outcome)
            assert told in self._stage.journal.reported, f"nobody reported {told}"
        if row["closed_by"] == self._reader(run_id):
            assert self.records[run_id][0] == row["outcome"], row
        good = row["outcome"] in ("succeeded", "partially_succeeded")
        if row["outcome"] == "partially_succeeded" and row["closed_by"] in LOSS:
            # Whatever its children come to: it is what it had done itself that counts.
            assert self._stage.policy_of(run_id).partial_on_loss, row
            assert run_id in self._stage.journal.in_parts, row
            return
        if good:
            assert row["closed_by"] in (*REPORTED, self._reader(run_id)), row
        assert row["outcome"] != "failed" or row["reason"], row
        children = self.seen.children_of(row["id"]) if good else []
        assert all(child["status"] == "completed" for child in children), f"{row} without them"
        if row["outcome"] == "succeeded":
            assert all(child["outcome"] == "succeeded" for child in children), row

    def _require_bounded(self, execution: Execution) -> None:
        # I8: what ends its worker is not delivered for ever.
        if execution.has_died:
            run_id = execution.run_id
            died = [item for item in self._stage.journal.of_run(run_id) if item.has_died]
            most = self._stage.policy_of(run_id).max_deliveries
            assert len(died) <= most, f"{run_id} ended {len(died)} workers"

    def _in_good_hands(self) -> list[str]:
        if self._actor is None:
            return []
        good: list[str] = [
            execution.run_id
            for execution in self._stage.journal.executions
            if execution.is_open
            and execution.process != self._actor.process
            and self._is_well(self.seen, execution)
        ]
        if not self._judges():
            # I5: a worker leaves alone what another is well at work on.
            return good
        return good + [run_id for run_id, row in self.seen.runs.items() if self._waits(row)]

    def _is_well(self, seen: Picture, execution: Execution) -> bool:
        # Its process lives and is known to; the attempt is current, and inside its limits.
        if not execution.is_open or execution.process in self._stage.actors.held:
            return False
        row = seen.runs[execution.run_id]
        now = self._stage.actors.now
        asked_at = row["cancel_requested_at"]
        if row["status"] == "queued":
            current = row["holder"] == execution.worker_id and row["attempt"] + 1 == (
                execution.attempt
            )
        else:
            current = (row["attempt"], row["worker_id"]) == (
                execution.attempt,
                execution.worker_id,
            ) and row["returned_at"] is None
        return (
            current
            and row["status"] != "completed"
            and row["dispatch"] == execution.dispatch
            and seen.is_alive(execution.worker_id)
            and now < execution.began_ms + row["running_stale_ms"]
            and (asked_at is None or asked_at > now - CANCEL_BOUND_MS)
        )

    def _waits(self, row: Row) -> bool:
        # In its queue since before this sweep began, for no longer than it may.
        if row["status"] != "queued" or row["cancel_requested_at"] is not None:
            return False
        if row["wait_until"] <= self._stage.actors.now or self._actor is None:
            return False
        if self._actor.process.startswith("operator"):
            return False
        since = self._stage.queues.waits_for(row["id"], row["dispatch"], row["message_ref"])
        return since is not None and since < self._actor.woken_at_call

    def _now(self) -> Picture:
        # In the middle of a turn: its call may have changed something already.
        now = self._stage.actors.now
        if self._tables.changes != self._changes:
            return self._tables.picture(now)
        return self.seen.at(now)
