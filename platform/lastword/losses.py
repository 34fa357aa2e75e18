"""What follows the loss of a worker: the one judgement that sentinel and reconciler share.

Whoever finds that an attempt's worker is gone - the sentinel beside it at once, a reconciler after
the lease - decides by the same rules, writes through the same guarded verbs, and sends by the same
dispatcher. Both may find it: the second moves nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lastword.application import Dispatcher
from lastword.domains import ends_held, installed_reconcilers
from lastword.identity import RunId, WorkerId
from lastword.logs import log_notice
from lastword.policy import GENERIC, OnLoss, Policy
from lastword.reasons import Reason
from lastword.service import RunService
from lastword.service.values import Redispatched, Verdict
from lastword.states import Outcome, Source, Status
from lastword.storage.ledger import Ledger, Row


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """An attempt whose worker is gone, as its run stood when it was read."""

    policy: Policy
    lost_deliveries: int
    probation: int
    counts: Mapping[str, Any]
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """What to do about it.

    Attributes:
        redispatch: whether the run is tried again; else it is closed.
        reason: the code to record.
        outcome: how a run that is closed ends.
        evidence: what was seen, with what the judgement added.
    """

    redispatch: bool
    reason: Reason
    outcome: Outcome
    evidence: dict[str, Any]


def judge_loss(attempt: LostAttempt, reason: Reason, evidence: Mapping[str, Any]) -> Loss:
    """Judge one lost attempt. Pure."""
    policy = attempt.policy
    seen = dict(evidence)
    if attempt.counts:
        seen["progress"] = dict(attempt.counts)
    outcome = Outcome.FAILED
    if policy.partial_on_loss and attempt.counts.get("processed", 0) > 0:
        outcome = Outcome.PARTIALLY_SUCCEEDED
    if attempt.cancel_requested or policy.on_worker_lost is OnLoss.FAIL:
        return Loss(False, reason, outcome, seen)
    # A loss that nobody saw, of a worker with this run in its hands, counts with the first seen.
    losses = attempt.lost_deliveries + 1 + int(attempt.probation == 1)
    if losses >= policy.max_deliveries:
        seen |= {"last_loss": reason, "losses": losses}
        return Loss(False, Reason.TOO_MANY_DELIVERIES, outcome, seen)
    return Loss(True, reason, Outcome.FAILED, seen)


def recover_losses(
    ledger: Ledger,
    dispatcher: Dispatcher,
    worker_ids: Sequence[WorkerId],
    *,
    source: Source,
    evidence: Mapping[str, Any],
) -> dict[RunId, str]:
    """Judge every attempt of workers that have ended, and do what follows; by run, what was done.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    rows = _left_to_us(ledger, _find(ledger, worker_ids))
    judged = [(row, judge_loss(_lost(row), Reason.WORKER_LOST, evidence)) for row in rows]
    runs = RunService(ledger)
    closed = runs.close(
        [_verdict(row, loss, source) for row, loss in judged if not loss.redispatch]
    )
    queued = runs.redispatch(
        [_verdict(row, loss, source) for row, loss in judged if loss.redispatch]
    )
    send_again(dispatcher, queued)
    return {
        **dict.fromkeys(closed, "closed"),
        **{run.run_id: "redispatched" for run in queued},
    }


def _left_to_us(ledger: Ledger, rows: Sequence[Row]) -> list[Row]:
    # Where the domain's own record holds the end of the work, that is the truth, and its reconciler
    # writes it with the next sweep.
    policies = {RunId(row["id"]): _policy(row) for row in rows}
    if all(policy.reconcilers == (GENERIC,) for policy in policies.values()):
        return list(rows)
    held = ends_held(ledger, installed_reconcilers(), policies)
    return [row for row in rows if row["id"] not in held]


def send_again(dispatcher: Dispatcher, runs: Sequence[Redispatched]) -> None:
    """Send runs that were queued anew. What fails waits for the next sweep."""
    if not runs:
        return
    try:
        dispatcher.send_all(runs)
    except Exception as error:  # noqa: BLE001 - whatever the broker says, the runs stay queued
        # Unknown, not failed: the next sweep looks whether they arrived.
        log_notice(
            logging.WARNING,
            "dispatch_unknown",
            run=runs[0].run_id,
            runs=len(runs),
            why=f"{type(error).__name__}: {error}",
        )


def _find(ledger: Ledger, worker_ids: Sequence[WorkerId]) -> list[Row]:
    if not worker_ids:
        return []
    marks = ", ".join([ledger.dialect.param] * len(worker_ids))
    with ledger.session():
        return ledger.execute(
            "SELECT run.id, run.attempt, run.dispatch, run.message_ref, run.lost_deliveries, "
            "run.probation, run.summary_counts, run.cancel_requested_at, run.changed_at, "
            f"policy.document, {ledger.dialect.now_ms} AS now FROM lastword_run AS run "
            "JOIN lastword_policy AS policy ON policy.version = run.policy_version "
            f"WHERE run.completed_at IS NULL AND run.status = '{Status.RUNNING}' "
            f"AND run.returned_at IS NULL AND run.worker_id IN ({marks})",
            *worker_ids,
        )


def _lost(row: Row) -> LostAttempt:
    return LostAttempt(
        policy=_policy(row),
        lost_deliveries=row["lost_deliveries"],
        probation=row["probation"],
        counts=json.loads(row["summary_counts"]),
        cancel_requested=row["cancel_requested_at"] is not None,
    )


def _policy(row: Row) -> Policy:
    return Policy.from_document(json.loads(row["document"]))


def _verdict(row: Row, loss: Loss, source: Source) -> Verdict:
    return Verdict(
        run_id=RunId(row["id"]),
        status=Status.RUNNING,
        attempt=row["attempt"],
        dispatch=row["dispatch"],
        message_ref=row["message_ref"],
        reason=loss.reason,
        outcome=loss.outcome,
        evidence=loss.evidence,
        source=source,
        age_s=(row["now"] - row["changed_at"]) / 1000,
        charged=True,
    )
