"""The verbs that hand the run of an attempt back to the queue: it failed, or it goes on later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastword.identity import RunId
from lastword.service import moves
from lastword.service.attempts import end_attempts
from lastword.service.children import HAS_NOT_RETURNED
from lastword.service.moves import SAME_ATTEMPT, SAME_WORKER, Move
from lastword.service.reserving import NOT_ASKED_TO_STOP
from lastword.service.values import PutOff, Retry
from lastword.states import DEFER, RETRY, Source, Status
from lastword.storage.ledger import Ledger, as_json

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

#: The time that a run may spend on waiting is counted from its first start.
_IN_TIME = "{now} + item_delay_ms <= COALESCE(started_at, {now}) + item_within_ms"

_DEFER = Move(
    arrow=DEFER,
    columns={
        "run_id": "text",
        "attempt": "integer",
        "worker_id": "text",
        "delay_ms": "integer",
        "within_ms": "integer",
        "reason": "text",
        "summary_counts": "text",
        "context": "text",
    },
    writes={
        "dispatch": "dispatch + 1",
        "summary_counts": "item_summary_counts",
        "context": "item_context",
        "message_queue": "NULL",
        "message_ref": "NULL",
        "sent_at": "{now}",
        "available_at": "{now} + item_delay_ms",
        "stale_at": "{now} + item_delay_ms + queued_stale_ms",
        "wait_until": "{now} + item_delay_ms + max_queue_wait_ms",
    },
    guards=(SAME_ATTEMPT, SAME_WORKER, HAS_NOT_RETURNED, NOT_ASKED_TO_STOP, _IN_TIME),
    details=("delay_ms",),
)


class Retrying:
    """Recorded before the next message exists, under a new dispatch number."""

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
        return self._hand_back(_RETRY, items)

    def defer(self, deferrals: Sequence[PutOff]) -> dict[RunId, int]:
        """Hand runs back for later without spending a try; the dispatch number of each that went.

        A run that is missing from the answer was closed, handed on or asked to stop meanwhile, or
        has waited for as long as it may: its message must not be sent.
        """
        items = [
            {
                "run_id": deferral.run_id,
                "attempt": deferral.attempt,
                "worker_id": deferral.worker_id,
                "delay_ms": int(deferral.delay_s * 1000),
                "within_ms": int(deferral.within_s * 1000),
                "reason": deferral.reason,
                "summary_counts": as_json(deferral.counts),
                "context": as_json(deferral.context),
                "ending": "deferred",
                "diagnostics": deferral.diagnostics,
            }
            for deferral in deferrals
        ]
        return self._hand_back(_DEFER, items)

    def _hand_back(self, move: Move, items: Sequence[Mapping[str, Any]]) -> dict[RunId, int]:
        with self.ledger.transaction():
            moved = moves.apply(self.ledger, move, items, by=Source.WORKER)
            end_attempts(self.ledger, moved, items)
            dispatches = {RunId(row["id"]): int(row["dispatch"]) for row in moved}
            missing = [item for item in items if item["run_id"] not in dispatches]
            dispatches.update(self._handed_back_before(missing))
        return dispatches

    def _handed_back_before(self, items: Sequence[Mapping[str, Any]]) -> dict[RunId, int]:
        # The answer to an earlier, identical call was lost: the database had committed it.
        rows = moves.read_runs(self.ledger, [item["run_id"] for item in items])
        return {
            RunId(row["id"]): int(row["dispatch"])
            for item in items
            if (row := rows.get(item["run_id"]))
            and row["status"] == Status.QUEUED
            and row["retries"] == item.get("retries", row["retries"])
            and (row["attempt"], row["worker_id"]) == (item["attempt"], item["worker_id"])
        }
