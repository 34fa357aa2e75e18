"""The verbs around a fetch: reserve what a worker took from the queue, give back what it left.

A reservation is no transition: the run stays queued. It fences - no other live worker may begin
with the run - and it says which attempt a start will be, so that starts need not be recorded one by
one before they are executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lastword.identity import RunId, WorkerId
from lastword.service import moves
from lastword.service.leases import HOLDER_IS_GONE, LEASE_IS_LIVE
from lastword.service.moves import SAME_DISPATCH
from lastword.service.values import Delivery, Refusal, Reservation
from lastword.states import Status
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, Row, as_batch

#: Milliseconds in which a worker may begin with what it has reserved and have that recorded later.
#: With an older reservation it begins only after recording it.
BEGIN_WITHIN_MS = 4_000

#: Condition over a queued run: its holder has told, after the last moment at which it could have
#: begun unrecorded, what it works on, and this run is not among it. However late its writer is, an
#: attempt is on that list until its end is durable.
HOLDER_DISCLAIMS = (
    "EXISTS (SELECT 1 FROM lastword_worker AS known WHERE known.id = lastword_run.holder "
    f"AND known.listed_at > lastword_run.held_at + {BEGIN_WITHIN_MS} "
    "AND REPLACE(known.working, lastword_run.id, '') = known.working)"
)

#: Guard: no live worker may have begun with this queued run unseen.
NOT_IN_HAND = f"(holder IS NULL OR {HOLDER_IS_GONE} OR {HOLDER_DISCLAIMS})"

#: Guard: this worker may have the run: nobody holds it, or it does itself, or whoever did is gone.
MAY_HOLD = f"(holder IS NULL OR holder = item_worker_id OR {HOLDER_IS_GONE})"

#: The probation of a run that was held by a worker which is gone: it may have been begun unseen.
#: The suspicion is 1 until a loss that was seen confirms it; from then on, counted, it is 2.
SUSPECTED = "CASE WHEN probation = 0 THEN 1 ELSE probation END"

#: Guard: nobody has asked for the run to stop.
NOT_ASKED_TO_STOP = "cancel_requested_at IS NULL"

_IS_QUEUED = f"status = '{Status.QUEUED}'"

#: Options of a message that say how it is done and what follows; the others belong to its journey.
_MEANT = frozenset(
    {
        "time_limit",
        "max_age",
        "max_retries",
        "min_backoff",
        "max_backoff",
        "pipe_target",
        "pipe_ignore",
        "on_success",
        "on_failure",
        "on_retry_exhausted",
        "group_completion_uuid",
        "group_completion_callbacks",
    }
)

_COLUMNS: Mapping[str, ColumnType] = {
    "run_id": "text",
    "dispatch": "integer",
    "worker_id": "text",
}

#: What a worker has to know of a run to begin with it.
_RESERVED = (
    "id, dispatch, attempt, operation, tenant_id, workspace_id, initiator_id, holder, context, "
    "payload, probation"
)


class Reserving:
    """One statement for all that a consumer fetched at once."""

    ledger: Ledger

    def reserve(self, deliveries: Sequence[Delivery], *, worker_id: WorkerId) -> list[Reservation]:
        """Mark runs as held by a worker with a live lease; one answer for each delivery, in order.

        Repeating it gives the same answers, so a caller must know what it holds already. A run
        taken over from a worker that is gone is on probation: what it began, if it began, is lost.
        """
        if not deliveries:
            return []
        items = [
            {"run_id": item.run_id, "dispatch": item.dispatch, "worker_id": worker_id}
            for item in dict.fromkeys(deliveries)
        ]
        with self.ledger.transaction():
            self.ledger.lock_runs([item.run_id for item in deliveries])
            rows = self.ledger.execute(self._reserving(), as_batch(items))
            held = {answer.delivery: answer for answer in map(_reservation, rows)}
            refused = [delivery for delivery in deliveries if delivery not in held]
            held.update(self._unreserved(refused, worker_id))
        return [held[delivery] for delivery in deliveries]

    def release(self, deliveries: Sequence[Delivery], *, worker_id: WorkerId) -> list[RunId]:
        """Give back what a worker held and will not begin; the runs that were given back."""
        if not deliveries:
            return []
        items = [
            {"run_id": item.run_id, "dispatch": item.dispatch, "worker_id": worker_id}
            for item in deliveries
        ]
        guards = [_IS_QUEUED, SAME_DISPATCH, "holder = item_worker_id"]
        with self.ledger.transaction():
            self.ledger.lock_runs([item.run_id for item in deliveries])
            rows = self.ledger.execute(
                "UPDATE lastword_run SET holder = NULL, held_at = NULL "
                f"FROM {self.ledger.dialect.batch(_COLUMNS)} AS item WHERE id = item_run_id "
                f"AND {moves.looked_up_by_id(guards)} RETURNING id",
                as_batch(items),
            )
        return [RunId(row["id"]) for row in rows]

    def message_refs(self, run_ids: Sequence[RunId]) -> dict[RunId, str | None]:
        """The broker's own ids of the messages that these runs wait for, as far as recorded."""
        with self.ledger.session():
            rows = self.ledger.execute(
                "SELECT id, message_ref FROM lastword_run "
                f"JOIN {self.ledger.dialect.batch({'run_id': 'text'})} AS item ON id = item_run_id",
                as_batch([{"run_id": run_id} for run_id in run_ids]),
            )
        return {RunId(row["id"]): row["message_ref"] for row in rows}

    def disown(self, deliveries: Sequence[Delivery], *, message_ref: str) -> None:
        """The broker's message of this id is not the run's: the run is without a message."""
        for delivery in deliveries:
            param = self.ledger.dialect.param
            with self.ledger.transaction():
                self.ledger.execute(
                    "UPDATE lastword_run SET message_queue = NULL, message_ref = NULL "
                    f"WHERE id = {param} AND dispatch = {param} AND message_ref = {param} "
                    f"AND completed_at IS NULL AND status = '{Status.QUEUED}'",
                    delivery.run_id,
                    delivery.dispatch,
                    message_ref,
                )

    def _reserving(self) -> str:
        now = self.ledger.dialect.now_ms
        guards = (_IS_QUEUED, SAME_DISPATCH, LEASE_IS_LIVE, MAY_HOLD, NOT_ASKED_TO_STOP)
        return (
            "UPDATE lastword_run SET holder = item_worker_id, held_at = {now}, "
            f"probation = CASE WHEN holder <> item_worker_id THEN {SUSPECTED} ELSE probation END "
            f"FROM {self.ledger.dialect.batch(_COLUMNS)} AS item WHERE id = item_run_id "
            f"AND {moves.looked_up_by_id(guards)} "
            f"RETURNING {_RESERVED}"
        ).replace("{now}", now)

    def _unreserved(
        self, deliveries: Sequence[Delivery], worker_id: WorkerId
    ) -> dict[Delivery, Reservation]:
        rows = moves.read_runs(self.ledger, [delivery.run_id for delivery in deliveries])
        return {
            delivery: Reservation(
                delivery.run_id,
                delivery.dispatch,
                refusal=refusal_of(delivery, rows.get(delivery.run_id), worker_id),
            )
            for delivery in deliveries
        }


def refusal_of(delivery: Delivery, row: Row | None, worker_id: WorkerId) -> Refusal:
    """Why a delivery could not be had by this worker, from the run as it stands."""
    if row is None:
        return Refusal.UNKNOWN_RUN
    if row["status"] == Status.COMPLETED:
        return Refusal.COMPLETED
    if row["dispatch"] != delivery.dispatch:
        return Refusal.SUPERSEDED
    if row["status"] == Status.RUNNING:
        return Refusal.RUNNING
    if row["cancel_requested_at"] is not None:
        return Refusal.ASKED_TO_STOP
    if row["holder"] not in (None, worker_id) and row["holder_is_live"]:
        return Refusal.HELD
    return Refusal.LEASE_LOST


def asks_for(
    payload: str,
    *,
    actor_name: str,
    args: Sequence[object],
    kwargs: object,
    options: Mapping[str, object],
) -> bool:
    """Whether a message asks for just what was accepted as `payload`."""
    accepted = json.loads(payload)
    meant = accepted["options"]
    named = _MEANT.intersection(meant) | _MEANT.intersection(options)
    return bool(
        accepted["actor_name"] == actor_name
        and list(accepted["args"]) == list(args)
        and accepted["kwargs"] == kwargs
        and all(meant.get(name) == options.get(name) for name in named)
    )


def _reservation(row: Row) -> Reservation:
    return Reservation(
        run_id=RunId(row["id"]),
        dispatch=row["dispatch"],
        attempt=row["attempt"] + 1,
        operation=row["operation"],
        tenant_id=row["tenant_id"],
        workspace_id=row["workspace_id"],
        initiator_id=row["initiator_id"],
        worker_id=WorkerId(row["holder"]),
        context=row["context"],
        payload=row["payload"],
        probation=bool(row["probation"]),
    )
