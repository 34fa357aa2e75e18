"""Cron schedules and their slots: each slot is noted once, whoever looks and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lastword.identity import RunId
from lastword.service.audit import SCHEDULER, SYSTEM, Actor, Entry, write_audit
from lastword.service.counters import Counted, count
from lastword.service.requests import Acceptance, NewRun
from lastword.service.runs import RunService
from lastword.storage.ledger import Ledger, Row, as_json

#: Milliseconds for which a slot is looked after once it was noted.
ORPHANED_WITHIN_MS = 24 * 3600 * 1000

#: Schedules looked at with one query.
MOST_DUE = 200


class SlotResult(StrEnum):
    """What became of a slot."""

    STARTED = "started"
    #: The run of an earlier slot, or one like it, was still active.
    BUSY = "busy"
    #: It passed while no scheduler was there; it is not made up for.
    MISSED = "missed"
    #: The run that was started for it is not to be found.
    ORPHANED = "orphaned"


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule that is to be added.

    Attributes:
        payload: the message of its runs, but for the id.
        identity_hash: of its runs.
        next_at: its first slot, in milliseconds since 1970.
    """

    id: str
    name: str
    operation: str
    cron: str
    timezone: str
    actor_name: str
    payload: str
    identity_hash: str
    next_at: int
    inputs: dict[str, object]
    workspace_id: str | None = None
    tenant_id: str | None = None
    initiator_id: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What was noted of a schedule's slots.

    Attributes:
        result: of the slot that was to be started; None if there was none.
        run_id: the run that was accepted for it, or that was busy.
    """

    result: SlotResult | None
    run_id: RunId | None


class ScheduleService:
    """The only writer of schedules and slots.

    Args:
        ledger: where they are.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._runs = RunService(ledger)

    def add(self, new: NewSchedule, *, actor: Actor = SYSTEM) -> bool:
        """Add a schedule; False if its name is taken."""
        values = {
            "id": new.id,
            "name": new.name,
            "operation": new.operation,
            "workspace_id": new.workspace_id,
            "tenant_id": new.tenant_id,
            "initiator_id": new.initiator_id,
            "cron": new.cron,
            "timezone": new.timezone,
            "inputs": as_json(new.inputs),
            "actor_name": new.actor_name,
            "payload": new.payload,
            "identity_hash": new.identity_hash,
            "next_at": new.next_at,
        }
        marks = ", ".join([self.ledger.dialect.param] * len(values))
        with self.ledger.transaction():
            rows = self.ledger.execute(
                f"INSERT INTO lastword_schedule ({', '.join(values)}, created_at) "
                f"VALUES ({marks}, {self.ledger.dialect.now_ms}) "
                "ON CONFLICT (name) DO NOTHING RETURNING id",
                *values.values(),
            )
            if rows:
                self._audit(actor, "schedule.add", new.name, new.workspace_id, new.tenant_id)
        return bool(rows)

    def pause(self, name: str, *, actor: Actor = SYSTEM) -> bool:
        """Start nothing of a schedule until it is resumed; whether it was running."""
        now = self.ledger.dialect.now_ms
        change = f"paused_at = {now}", "paused_at IS NULL"
        return self._update(name, *change, action="schedule.pause", actor=actor)

    def resume(self, name: str, *, next_at: int, actor: Actor = SYSTEM) -> bool:
        """Go on with a schedule at `next_at`; what was missed meanwhile stays missed."""
        change = f"paused_at = NULL, next_at = {int(next_at)}", "TRUE"
        return self._update(name, *change, action="schedule.resume", actor=actor)

    def remove(self, name: str, *, actor: Actor = SYSTEM) -> bool:
        """Remove a schedule with its slots; its runs stay."""
        param = self.ledger.dialect.param
        with self.ledger.transaction():
            rows = self.ledger.execute(
                f"DELETE FROM lastword_schedule WHERE name = {param} "
                "RETURNING workspace_id, tenant_id",
                name,
            )
            for row in rows:
                self._audit(actor, "schedule.remove", name, row["workspace_id"], row["tenant_id"])
        return bool(rows)

    def due(self) -> list[Row]:
        """Schedules with a slot that has come and that nobody has noted, with `now`."""
        now = self.ledger.dialect.now_ms
        with self.ledger.session():
            return self.ledger.execute(
                f"SELECT lastword_schedule.*, {now} AS now FROM lastword_schedule "
                f"WHERE paused_at IS NULL AND next_at <= {now} ORDER BY next_at LIMIT {MOST_DUE}"
            )

    def keep(
        self,
        schedule: Row,
        *,
        missed: Sequence[int],
        slot_at: int | None,
        run: NewRun | None,
        next_at: int,
    ) -> Kept | None:
        """Note the slots of a schedule up to now, and accept the run of the last of them.

        All in one transaction, so that a slot and its run are there together or not at all. None if
        another scheduler has noted them, or the schedule was changed meanwhile.

        Args:
            schedule: as `due` gave it.
            missed: slots that nothing is started for.
            slot_at: the slot that `run` is for.
            run: what is to be accepted.
            next_at: the slot after these.
        """
        with self.ledger.transaction():
            if not self._advance(schedule, next_at):
                return None
            for moment in missed:
                if self._note(schedule["id"], moment, SlotResult.MISSED, None):
                    count(self.ledger, Counted.SLOTS, SlotResult.MISSED)
            if slot_at is None or run is None:
                return Kept(None, None)
            # First the slot: one that was noted before, whatever `next_at` says, has had its run.
            if not self._note(schedule["id"], slot_at, SlotResult.STARTED, run.run_id):
                return Kept(None, None)
            [accepted] = self._runs.accept([run])
            if accepted.result is Acceptance.ACCEPTED:
                count(self.ledger, Counted.SLOTS, SlotResult.STARTED)
                write_audit(self.ledger, SCHEDULER, [_started(schedule, run)])
                return Kept(SlotResult.STARTED, accepted.run_id)
            self._found_busy(schedule["id"], slot_at, accepted.run_id)
        return Kept(SlotResult.BUSY, accepted.run_id)

    def _advance(self, schedule: Row, next_at: int) -> bool:
        param = self.ledger.dialect.param
        mine = self.ledger.execute(
            f"UPDATE lastword_schedule SET next_at = {param}, error = NULL WHERE id = {param} "
            f"AND next_at = {param} AND paused_at IS NULL RETURNING id",
            next_at,
            schedule["id"],
            schedule["next_at"],
        )
        return bool(mine)

    def complain(self, schedule_id: str, error: str) -> bool:
        """Keep why a schedule could not be kept; whether that is news."""
        param = self.ledger.dialect.param
        with self.ledger.transaction():
            rows = self.ledger.execute(
                f"UPDATE lastword_schedule SET error = {param} WHERE id = {param} "
                f"AND COALESCE(error, '') <> {param} RETURNING id",
                error,
                schedule_id,
                error,
            )
        return bool(rows)

    def orphan_slots(self) -> int:
        """Note the slots of late whose run is not in the ledger, though both were written together.

        Not all slots: a sweep must not grow with history.
        """
        with self.ledger.transaction():
            rows = self.ledger.execute(
                f"UPDATE lastword_slot SET result = '{SlotResult.ORPHANED}' "
                f"WHERE noted_at > {self.ledger.dialect.now_ms} - {ORPHANED_WITHIN_MS} "
                f"AND result = '{SlotResult.STARTED}' AND NOT EXISTS "
                "(SELECT 1 FROM lastword_run WHERE lastword_run.id = lastword_slot.run_id) "
                "RETURNING slot_at"
            )
            if rows:
                count(self.ledger, Counted.SLOTS, SlotResult.ORPHANED, len(rows))
        return len(rows)

    def _update(
        self, name: str, assignments: str, condition: str, *, action: str, actor: Actor
    ) -> bool:
        with self.ledger.transaction():
            rows = self.ledger.execute(
                f"UPDATE lastword_schedule SET {assignments} "
                f"WHERE name = {self.ledger.dialect.param} AND {condition} "
                "RETURNING workspace_id, tenant_id",
                name,
            )
            for row in rows:
                self._audit(actor, action, name, row["workspace_id"], row["tenant_id"])
        return bool(rows)

    def _audit(
        self, actor: Actor, action: str, name: str, workspace_id: str | None, tenant_id: str | None
    ) -> None:
        entry = Entry(action, "schedule", name, workspace_id=workspace_id, tenant_id=tenant_id)
        write_audit(self.ledger, actor, [entry])

    def _found_busy(self, schedule_id: str, moment: int, run_id: RunId) -> None:
        param = self.ledger.dialect.param
        self.ledger.execute(
            f"UPDATE lastword_slot SET result = '{SlotResult.BUSY}', run_id = {param} "
            f"WHERE schedule_id = {param} AND slot_at = {param}",
            run_id,
            schedule_id,
            moment,
        )
        count(self.ledger, Counted.SLOTS, SlotResult.BUSY)

    def _note(
        self, schedule_id: str, moment: int, result: SlotResult, run_id: RunId | None
    ) -> bool:
        param = self.ledger.dialect.param
        rows = self.ledger.execute(
            "INSERT INTO lastword_slot (schedule_id, slot_at, result, run_id, noted_at) "
            f"VALUES ({', '.join([param] * 4)}, {self.ledger.dialect.now_ms}) "
            "ON CONFLICT (schedule_id, slot_at) DO NOTHING RETURNING slot_at",
            schedule_id,
            moment,
            result,
            run_id,
        )
        return bool(rows)


def _started(schedule: Row, run: NewRun) -> Entry:
    return Entry(
        action="run.start",
        target_kind="run",
        target_id=run.run_id,
        workspace_id=run.workspace_id,
        tenant_id=run.tenant_id,
        run_id=run.run_id,
        after={"operation": run.policy.operation, "schedule": schedule["name"]},
    )
