"""After each move: what the tables say, held against the promise and against what happened.

Neither the service nor a reconciler is asked; the tables are read by plain SQL.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lastword.policy import OnLoss
from lastword.reading.freshness import freshness_sql
from lastword.service.counters import Counted
from lastword.service.reconciling import CANCEL_BOUND_MS
from lastword.service.values import Reservation
from lastword.states import RECONCILERS, Source
from lastword.storage.ledger import Row
from tests.faults import picture
from tests.faults.picture import Picture
from tests.faults.simulation.journal import Execution
from tests.faults.simulation.moves import Go, Kill, Move
from tests.faults.simulation.queues import Note

if TYPE_CHECKING:
    from tests.faults.simulation.actors import Actor
    from tests.faults.simulation.stage import Stage

#: Ends that a worker reports of its own attempt.
REPORTED = {Source.WORKER, Source.CHILDREN}


class Checks:
    """Holds every move of a life against the promise.

    Attributes:
        seen: what the ledger said after the last move.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        connection = stage.ledger.database.connection()
        self._connection = connection
        self._freshness = freshness_sql(stage.ledger.dialect)
        self.seen = self._picture()
        self._changes = -1
        self._before: set[str] = set()
        self._actor: Actor | None = None

    def begin(self, move: Move) -> None:
        """Remember what is in good hands before a move."""
        self._actor = self._stage.actors.by_name.get(move.actor) if isinstance(move, Go) else None
        self._before = set(self._in_good_hands()) if self._judges() else set()

    def end(self, move: Move) -> None:
        """Compare.

        Raises:
            AssertionError: something does not hold.
        """
        changes = self._connection.total_changes
        if changes == self._changes and not isinstance(move, Kill):
            self.seen = _later(self.seen, self._stage.actors.now)
            return
        self._changes = changes
        before, self.seen = self.seen, self._picture()
        self._require_story()
        picture.require_nothing_rewritten(before, self.seen)
        for run_id in picture.moved(before, self.seen):
            # I6: whoever is not at work on it leaves alone what is well, and what waits in a queue.
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

    def require_rest(self) -> None:
        """I1 and I4: every run is completed; no attempt is open."""
        assert list(self._stage.open_runs()) == [], "not completed in time"
        assert all(row["ended_at"] for row in self.seen.attempts.values())

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
        told = Counter(
            self._connection.execute("SELECT run_id, user_id FROM lastword_notification")
        )
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
        if row["closed_by"] in REPORTED and row["outcome"] != "blocked":
            outcome = row["returned_outcome"] or row["outcome"]
            told = (row["id"], row["attempt"], row["worker_id"], outcome)
            assert told in self._stage.journal.reported, f"nobody reported {told}"
        good = row["outcome"] in ("succeeded", "partially_succeeded")
        assert not good or row["closed_by"] in REPORTED, row
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
        good = [
            execution.run_id
            for execution in self._stage.journal.executions
            if execution.is_open and self._is_well(self.seen, execution)
        ]
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
        if self._connection.total_changes != self._changes:
            return self._picture()
        return _later(self.seen, self._stage.actors.now)

    def _picture(self) -> Picture:
        late = f"name = '{Counted.LATE_RESULTS}'"
        return Picture(
            now=self._stage.actors.now,
            runs={
                row["id"]: row
                for row in self._rows(f"SELECT *, {self._freshness} AS freshness FROM lastword_run")
            },
            attempts={
                (row["run_id"], row["number"]): row
                for row in self._rows("SELECT * FROM lastword_attempt")
            },
            events=tuple(self._rows("SELECT * FROM lastword_event ORDER BY id")),
            workers={row["id"]: row for row in self._rows("SELECT * FROM lastword_worker")},
            late_results={
                row["label"]: row["value"]
                for row in self._rows(f"SELECT label, value FROM lastword_counter WHERE {late}")
            },
        )

    def _rows(self, statement: str) -> list[Row]:
        cursor = self._connection.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _later(seen: Picture, now: int) -> Picture:
    return Picture(now, seen.runs, seen.attempts, seen.events, seen.workers, seen.late_results)
