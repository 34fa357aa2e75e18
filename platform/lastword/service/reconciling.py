"""The verbs of reconcilers: send again, take back, close, put off.

A verdict carries the state it was reached from. If the run has moved since, or the evidence no
longer holds at the instant of writing, the verb moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lastword.identity import RunId
from lastword.reasons import SENTENCES, Reason
from lastword.service import moves
from lastword.service.attempts import end_attempts
from lastword.service.children import HAS_NOT_RETURNED
from lastword.service.leases import WORKER_DOES_NOT_LIST, WORKER_IS_GONE
from lastword.service.moves import SAME_ATTEMPT, SAME_DISPATCH, SAME_MESSAGE, Move
from lastword.service.reserving import NOT_IN_HAND, SUSPECTED
from lastword.service.values import Redispatched, Sighting, Verdict
from lastword.states import (
    CLOSE_QUEUED,
    CLOSE_RUNNING,
    RECOVER,
    REDISPATCH,
    Arrow,
    Source,
    Status,
)
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

#: Milliseconds an attempt gets to stop once it was asked to.
CANCEL_BOUND_MS = 30_000

_PAST_STALE = "stale_at <= {now}"
_PAST_WAIT = "wait_until <= {now}"

#: What must still hold when a verdict of this reason is written, beside the state it was seen in.
_STILL_HOLDS = {
    Reason.STALE_QUEUED: _PAST_STALE,
    Reason.STALE_RUNNING: _PAST_STALE,
    Reason.QUEUE_WAIT_EXCEEDED: _PAST_WAIT,
    Reason.CANCEL_IGNORED: f"cancel_requested_at <= {{now}} - {CANCEL_BOUND_MS}",
    # A run that waits for its children needs no worker any more.
    Reason.WORKER_LOST: f"{HAS_NOT_RETURNED} AND {WORKER_IS_GONE}",
    Reason.ATTEMPT_ABANDONED: f"{HAS_NOT_RETURNED} AND {WORKER_DOES_NOT_LIST}",
    Reason.TOO_MANY_DELIVERIES: (
        f"{HAS_NOT_RETURNED} AND ({WORKER_IS_GONE} OR {WORKER_DOES_NOT_LIST})"
    ),
}

_SEEN_STATE = (SAME_ATTEMPT, SAME_DISPATCH, SAME_MESSAGE)

_COLUMNS: Mapping[str, Any] = {
    "run_id": "text",
    "attempt": "integer",
    "dispatch": "integer",
    "message_ref": "text",
    "reason": "text",
    "outcome": "text",
    "charged": "integer",
    "source": "text",
    "reconciliation": "text",
}

_SEND_AGAIN = {
    "dispatch": "dispatch + 1",
    "message_queue": "NULL",
    "message_ref": "NULL",
    "sent_at": "{now}",
    "holder": "NULL",
    "held_at": "NULL",
}

#: A run that lost a worker may have lost one before, unseen: then that counts too, once.
_LOSSES = (
    "lost_deliveries + item_charged "
    "+ CASE WHEN item_charged = 1 AND probation = 1 THEN 1 ELSE 0 END"
)

_WRITES: Mapping[Arrow, Mapping[str, str]] = {
    REDISPATCH: {
        **_SEND_AGAIN,
        # What held it may have begun and died before that was recorded.
        "probation": f"CASE WHEN holder IS NULL THEN probation ELSE {SUSPECTED} END",
        "stale_at": "CASE WHEN available_at > {now} THEN available_at ELSE {now} END "
        "+ queued_stale_ms",
    },
    RECOVER: {
        **_SEND_AGAIN,
        "lost_deliveries": _LOSSES,
        "probation": "2",
        "available_at": "{now}",
        "stale_at": "{now} + queued_stale_ms",
        "wait_until": "{now} + max_queue_wait_ms",
    },
    CLOSE_QUEUED: {
        "outcome": "item_outcome",
        "reason": "item_reason",
        "closed_by": "item_source",
        "reconciliation": "item_reconciliation",
    },
}
_CLOSE_RUNNING = {
    **_WRITES[CLOSE_QUEUED],
    "lost_deliveries": _LOSSES,
}


class Reconciling:
    """What a reconciler may have done, once it holds evidence."""

    ledger: Ledger

    def redispatch(self, verdicts: Sequence[Verdict]) -> list[Redispatched]:
        """Queue runs anew under the next dispatch number, which fences every older message.

        Runs that were running end their attempt as lost. The caller sends what is returned; if it
        dies before that, the next sweep finds the message gone and does it again.
        """
        moved: list[Row] = []
        with self.ledger.transaction():
            moved += self._move(REDISPATCH, _WRITES[REDISPATCH], verdicts, status=Status.QUEUED)
            moved += self._move(RECOVER, _WRITES[RECOVER], verdicts, status=Status.RUNNING)
        return [
            Redispatched(
                run_id=RunId(row["id"]),
                dispatch=row["dispatch"],
                payload=row["payload"],
                retries=row["retries"],
                delay_ms=max(0, row["available_at"] - row["changed_at"]),
            )
            for row in moved
        ]

    def close(self, verdicts: Sequence[Verdict]) -> list[RunId]:
        """Give runs their last word; the runs that were closed."""
        moved: list[Row] = []
        with self.ledger.transaction():
            moved += self._move(CLOSE_QUEUED, _WRITES[CLOSE_QUEUED], verdicts, status=Status.QUEUED)
            moved += self._move(CLOSE_RUNNING, _CLOSE_RUNNING, verdicts, status=Status.RUNNING)
        return [RunId(row["id"]) for row in moved]

    def put_off(self, sightings: Sequence[Sighting]) -> list[RunId]:
        """Queued runs whose message was seen waiting stay fresh for another threshold.

        Never beyond `max_queue_wait`. Not a transition: no event, only the evidence.
        """
        if not sightings:
            return []
        now = self.ledger.dialect.now_ms
        guards = [f"status = '{Status.QUEUED}'", SAME_ATTEMPT, SAME_DISPATCH]
        source = self.ledger.dialect.batch(
            {"run_id": "text", "attempt": "integer", "dispatch": "integer", "evidence": "text"}
        )
        with self.ledger.transaction():
            self.ledger.lock_runs([sighting.run_id for sighting in sightings])
            rows = self.ledger.execute(
                "UPDATE lastword_run SET evidence = item_evidence, stale_at = CASE "
                f"WHEN wait_until < {now} + queued_stale_ms THEN wait_until "
                f"ELSE {now} + queued_stale_ms END "
                f"FROM {source} AS item WHERE id = item_run_id "
                f"AND {moves.looked_up_by_id(guards)} RETURNING id",
                as_batch(
                    [
                        {
                            "run_id": sighting.run_id,
                            "attempt": sighting.attempt,
                            "dispatch": sighting.dispatch,
                            "evidence": as_json(sighting.evidence),
                        }
                        for sighting in sightings
                    ]
                ),
            )
        return [RunId(row["id"]) for row in rows]

    def _move(
        self,
        arrow: Arrow,
        writes: Mapping[str, str],
        verdicts: Sequence[Verdict],
        *,
        status: Status,
    ) -> list[Row]:
        moved: list[Row] = []
        groups: dict[tuple[Source, str | None], list[dict[str, Any]]] = {}
        for verdict in verdicts:
            if verdict.status is status:
                key = (verdict.source, _STILL_HOLDS.get(verdict.reason))
                groups.setdefault(key, []).append(_item(verdict))
        for (source, still_holds), items in groups.items():
            guards = (*_SEEN_STATE, still_holds) if still_holds else _SEEN_STATE
            if status is Status.QUEUED:
                guards = (*guards, NOT_IN_HAND)
            move = Move(
                arrow=arrow,
                columns=_COLUMNS,
                writes=writes,
                guards=guards,
                details=("reconciliation",),
            )
            rows = moves.apply(self.ledger, move, items, by=source)
            if status is Status.RUNNING:
                end_attempts(self.ledger, rows, items)
            moved += rows
        return moved


def _item(verdict: Verdict) -> dict[str, Any]:
    return {
        "run_id": verdict.run_id,
        "attempt": verdict.attempt,
        "dispatch": verdict.dispatch,
        "message_ref": verdict.message_ref,
        "reason": verdict.reason,
        "outcome": verdict.outcome,
        "charged": int(verdict.charged),
        "source": verdict.source,
        "reconciliation": as_json(_reconciliation(verdict)),
        "ending": "lost" if verdict.charged else "closed",
    }


def _reconciliation(verdict: Verdict) -> dict[str, Any]:
    return {
        "kind": "reconciled",
        "source": verdict.source,
        "reason": verdict.reason,
        "sentence": SENTENCES[verdict.reason],
        "evidence": dict(verdict.evidence),
        "threshold_s": verdict.threshold_s,
        "age_s": verdict.age_s,
    }
