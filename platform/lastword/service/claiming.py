"""The verb by which a delivery becomes an attempt - or learns why it may not."""

from __future__ import annotations

from collections.abc import Sequence

from lastword.identity import RunId, WorkerId
from lastword.service import moves
from lastword.service.attempts import begin_attempts
from lastword.service.moves import SAME_DISPATCH, Move
from lastword.service.values import Claim, Delivery, Refusal
from lastword.service.workers import LEASE_IS_LIVE
from lastword.states import CLAIM, Source, Status
from lastword.storage.ledger import Ledger, Row

_CLAIM = Move(
    arrow=CLAIM,
    columns={"run_id": "text", "dispatch": "integer", "worker_id": "text"},
    writes={
        "attempt": "attempt + 1",
        "worker_id": "item_worker_id",
        "started_at": "COALESCE(started_at, {now})",
        "claimed_at": "{now}",
        "stale_at": "{now} + running_stale_ms",
        "wait_until": "NULL",
    },
    guards=(SAME_DISPATCH, LEASE_IS_LIVE),
)


class Claiming:
    """At most one attempt is current, and only a worker with a live lease may hold it."""

    ledger: Ledger

    def claim(self, deliveries: Sequence[Delivery], *, worker_id: WorkerId) -> list[Claim]:
        """Start the runs whose current delivery this is; one answer for each delivery, in order.

        Repeating a claim whose answer was lost gives the same attempt again, so a caller must know
        which runs it is working on already.
        """
        asked = list(dict.fromkeys(deliveries))
        items = [
            {"run_id": item.run_id, "dispatch": item.dispatch, "worker_id": worker_id}
            for item in asked
        ]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, _CLAIM, items, by=Source.WORKER)
            begin_attempts(self.ledger, moved)
            claims = {Delivery(RunId(row["id"]), row["dispatch"]): _claim(row) for row in moved}
            refused = [delivery for delivery in asked if delivery not in claims]
            claims.update(self._refusals(refused, worker_id))
        # The first of equal deliveries has the attempt; the others find it taken.
        return [
            claims.pop(delivery, Claim(delivery.run_id, refusal=Refusal.RUNNING))
            for delivery in deliveries
        ]

    def _refusals(
        self, deliveries: Sequence[Delivery], worker_id: WorkerId
    ) -> dict[Delivery, Claim]:
        rows = moves.read_runs(self.ledger, [delivery.run_id for delivery in deliveries])
        return {
            delivery: _refusal(delivery, rows.get(delivery.run_id), worker_id)
            for delivery in deliveries
        }


def _claim(row: Row) -> Claim:
    return Claim(
        run_id=RunId(row["id"]),
        attempt=row["attempt"],
        operation=row["operation"],
        tenant_id=row["tenant_id"],
        workspace_id=row["workspace_id"],
        worker_id=WorkerId(row["worker_id"]),
        context=row["context"],
    )


def _refusal(delivery: Delivery, row: Row | None, worker_id: WorkerId) -> Claim:
    if row is None:
        return Claim(delivery.run_id, refusal=Refusal.UNKNOWN_RUN)
    if row["status"] == Status.COMPLETED:
        return Claim(delivery.run_id, refusal=Refusal.COMPLETED)
    if row["dispatch"] != delivery.dispatch:
        return Claim(delivery.run_id, refusal=Refusal.SUPERSEDED)
    if row["status"] == Status.RUNNING:
        # Committed, and the answer was lost: the attempt is this worker's own.
        if row["worker_id"] == worker_id:
            return _claim(row)
        return Claim(delivery.run_id, refusal=Refusal.RUNNING)
    return Claim(delivery.run_id, refusal=Refusal.LEASE_LOST)
