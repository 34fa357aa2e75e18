"""The verb that hands a failed attempt's run back to the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastword.identity import RunId
from lastword.service import moves
from lastword.service.attempts import end_attempts
from lastword.service.children import HAS_NOT_RETURNED
from lastword.service.moves import SAME_ATTEMPT, SAME_WORKER, Move
from lastword.service.reserving import NOT_ASKED_TO_STOP
from lastword.service.values import Retry
from lastword.states import RETRY, Source, Status
from lastword.storage.ledger import Ledger

_RETRY = Move(
    arrow=RETRY,
    columns={
        "run_id": "text",
        "attempt": "integer",
        "worker_id": "text",
        "retries": "integer",
        "delay_ms": "integer",
        "reason": "text",
        "message_queue": "text",
        "message_ref": "text",
    },
    writes={
        "dispatch": "dispatch + 1",
        "retries": "item_retries",
        "message_queue": "item_message_queue",
        "message_ref": "item_message_ref",
        "sent_at": "{now}",
        "available_at": "{now} + item_delay_ms",
        "stale_at": "{now} + item_delay_ms + queued_stale_ms",
        "wait_until": "{now} + item_delay_ms + max_queue_wait_ms",
    },
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED, NOT_ASKED_TO_STOP),
    details=("retries", "delay_ms"),
)


class Retrying:
    """A retry is recorded before its message exists, under a new dispatch number."""

    ledger: Ledger

    def retry(self, retries: Sequence[Retry]) -> dict[RunId, int]:
        """Hand failed attempts back to the queue; the dispatch number of each that went back.

        A run that is missing from the answer was closed or handed on meanwhile: its message must
        not be sent.
        """
        items = [
            {
                "run_id": retry.run_id,
                "attempt": retry.attempt,
                "worker_id": retry.worker_id,
                "retries": retry.retries,
                "delay_ms": int(retry.delay_s * 1000),
                "reason": retry.reason,
                "message_queue": retry.message_queue,
                "message_ref": retry.message_ref,
                "ending": "retrying",
                "diagnostics": retry.diagnostics,
            }
            for retry in retries
        ]
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, _RETRY, items, by=Source.WORKER)
            end_attempts(self.ledger, moved, items)
            dispatches = {RunId(row["id"]): int(row["dispatch"]) for row in moved}
            missing = [item for item in items if item["run_id"] not in dispatches]
            dispatches.update(self._retried_before(missing))
        return dispatches

    def _retried_before(self, items: Sequence[Mapping[str, Any]]) -> dict[RunId, int]:
        # The answer to an earlier, identical call was lost: the database had committed it.
        rows = moves.read_runs(self.ledger, [item["run_id"] for item in items])
        return {
            RunId(row["id"]): int(row["dispatch"])
            for item in items
            if (row := rows.get(item["run_id"]))
            and row["status"] == Status.QUEUED
            and row["retries"] == item["retries"]
            and (row["attempt"], row["worker_id"]) == (item["attempt"], item["worker_id"])
        }
