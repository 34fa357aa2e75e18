"""The verbs by which a delivery becomes an attempt - or learns why it may not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lastword.identity import RunId, WorkerId
from lastword.service import moves
from lastword.service.attempts import BEGUN
from lastword.service.events import appended, told_of
from lastword.service.leases import LEASE_IS_LIVE
from lastword.service.moves import SAME_DISPATCH, Move
from lastword.service.reserving import MAY_HOLD, NOT_ASKED_TO_STOP, refusal_of
from lastword.service.values import Beginning, Claim, Delivery, Refusal
from lastword.states import CLAIM, Source
from lastword.storage.ledger import Ledger, Row

#: Guard: the worker still holds the delivery that it has begun with.
HELD_BY_WORKER = "holder = item_worker_id"

#: Guard: the reservation was for this attempt and no other.
NEXT_ATTEMPT = "attempt = item_attempt - 1"

#: When an attempt began: as long ago as its worker says, but not before the worker had it.
_BEGAN = "(CASE WHEN held_at > {now} - item_age_ms THEN held_at ELSE {now} - item_age_ms END)"

_WRITES = {
    "attempt": "attempt + 1",
    "worker_id": "item_worker_id",
    "holder": "NULL",
    "held_at": "NULL",
    "started_at": f"COALESCE(started_at, {_BEGAN})",
    "claimed_at": _BEGAN,
    "stale_at": f"{_BEGAN} + running_stale_ms",
    "wait_until": "NULL",
}

_CLAIM = Move(
    arrow=CLAIM,
    columns={
        "run_id": "text",
        "dispatch": "integer",
        "worker_id": "text",
        "age_ms": "integer",
    },
    writes=_WRITES,
    guards=(SAME_DISPATCH, LEASE_IS_LIVE, MAY_HOLD, NOT_ASKED_TO_STOP),
)

#: A start that is recorded after the fact.
BEGIN = Move(
    arrow=CLAIM,
    columns={**_CLAIM.columns, "attempt": "integer"},
    writes=_WRITES,
    guards=(SAME_DISPATCH, HELD_BY_WORKER, NEXT_ATTEMPT),
)

_LEAVES = (appended(told_of(CLAIM)), BEGUN)


class Claiming:
    """At most one attempt is current, and only a worker that was alive may have taken it."""

    ledger: Ledger

    def claim(self, deliveries: Sequence[Delivery], *, worker_id: WorkerId) -> list[Claim]:
        """Start the runs whose current delivery this is; one answer for each delivery, in order.

        Repeating a claim whose answer was lost gives the same attempt again, so a caller must know
        which runs it is working on already.
        """
        asked = list(dict.fromkeys(deliveries))
        items = [
            {"run_id": item.run_id, "dispatch": item.dispatch, "worker_id": worker_id, "age_ms": 0}
            for item in asked
        ]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, _CLAIM, items, by=Source.WORKER, leaves=_LEAVES)
            claims = {Delivery(RunId(row["id"]), row["dispatch"]): _claim(row) for row in moved}
            refused = [delivery for delivery in asked if delivery not in claims]
            claims.update(self._refusals(refused, worker_id))
        # The first of equal deliveries has the attempt; the others find it taken.
        return [
            claims.pop(delivery, Claim(delivery.run_id, refusal=Refusal.RUNNING))
            for delivery in deliveries
        ]

    def begin(self, beginnings: Sequence[Beginning]) -> list[RunId]:
        """Record reserved deliveries as begun; the runs whose start is recorded.

        One that is missing was handed on meanwhile, and whatever it reports is late; or the answer
        to an earlier, identical call was lost, and its end is recorded as usual.
        """
        items = [begin_item(beginning) for beginning in beginnings]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, BEGIN, items, by=Source.WORKER, leaves=_LEAVES)
        return [RunId(row["id"]) for row in moved]

    def _refusals(
        self, deliveries: Sequence[Delivery], worker_id: WorkerId
    ) -> dict[Delivery, Claim]:
        rows = moves.read_runs(self.ledger, [delivery.run_id for delivery in deliveries])
        return {
            delivery: _refused(delivery, rows.get(delivery.run_id), worker_id)
            for delivery in deliveries
        }


def begin_item(beginning: Beginning) -> dict[str, Any]:
    """What a statement is told of a start."""
    return {
        "run_id": beginning.run_id,
        "dispatch": beginning.dispatch,
        "worker_id": beginning.worker_id,
        "attempt": beginning.attempt,
        "age_ms": max(0, int(beginning.age_s * 1000)),
    }


def _claim(row: Row) -> Claim:
    return Claim(
        run_id=RunId(row["id"]),
        attempt=row["attempt"],
        operation=row["operation"],
        tenant_id=row["tenant_id"],
        workspace_id=row["workspace_id"],
        initiator_id=row["initiator_id"],
        worker_id=WorkerId(row["worker_id"]),
        context=row["context"],
        payload=row["payload"],
    )


def _refused(delivery: Delivery, row: Row | None, worker_id: WorkerId) -> Claim:
    refusal = refusal_of(delivery, row, worker_id)
    # Committed, and the answer was lost: the attempt is this worker's own.
    if row and refusal is Refusal.RUNNING and row["worker_id"] == worker_id:
        return _claim(row)
    return Claim(delivery.run_id, refusal=refusal)
