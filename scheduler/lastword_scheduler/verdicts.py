"""From evidence to a verdict: pure, so that each row of the table can be tried by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from lastword.losses import LostAttempt, judge_loss
from lastword.policy import OnLoss
from lastword.reasons import Reason
from lastword.service.reconciling import CANCEL_BOUND_MS
from lastword.states import Outcome, Status
from lastword_middleware.broker import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S
from lastword_scheduler.candidates import Candidate, WorkerEvidence
from lastword_scheduler.probe import MessageEvidence, MessageState

#: Seconds after which a send that got no answer has been given up by its sender.
SENDING_TAKES_AT_MOST_S = 2.0 * (CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S)


#: Seconds an attempt gets to stop once it was asked to.
CANCEL_BOUND_S = CANCEL_BOUND_MS / 1000


class Action(StrEnum):
    """What a reconciler does with a run."""

    LEAVE = "leave"
    #: Its message was seen waiting: it stays fresh for another threshold.
    PUT_OFF = "put_off"
    #: Its message goes back to the queue from the hold of a dead worker.
    RELEASE = "release"
    REDISPATCH = "redispatch"
    CLOSE = "close"
    #: It was asked to stop by its operator, and nobody has it in hand any more.
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one run, and why.

    Attributes:
        reason: the reason code that is recorded; None when the run is left.
        evidence: what it rests on, as JSON values.
        threshold_s: the limit that was passed, if one was.
        charged: whether it counts against `max_deliveries`.
        outcome: how a run that is closed ends.
    """

    candidate: Candidate
    action: Action
    evidence: dict[str, Any]
    reason: Reason | None = None
    threshold_s: float | None = None
    charged: bool = False
    outcome: Outcome = Outcome.FAILED


def decide(
    candidate: Candidate,
    message: MessageEvidence | None,
    *,
    holder_is_alive: bool,
    heartbeat_interval_s: float,
    leases_tell: bool,
) -> Decision:
    """Judge one run.

    Args:
        candidate: the run as it was read.
        message: where its message is; None for a running one, whose message tells nothing.
        holder_is_alive: whether the worker that holds the message, if one does, may be alive.
        heartbeat_interval_s: how often workers renew their lease, in seconds.
        leases_tell: whether an expired lease means that its worker is silent; see `Contact`.
    """
    if candidate.status is Status.RUNNING:
        assert candidate.worker is not None
        return _running(
            candidate,
            candidate.worker,
            heartbeat_interval_s=heartbeat_interval_s,
            leases_tell=leases_tell,
        )
    assert message is not None
    if candidate.holder_is_silent and not leases_tell:
        # Whoever took it may live, and have begun: the ledger was away, and could not be told.
        evidence = {"message": {"state": message.state}, "held_by": candidate.holder}
        return Decision(candidate, Action.LEAVE, evidence)
    return _queued(candidate, message, holder_is_alive=holder_is_alive)


def _running(
    candidate: Candidate,
    worker: WorkerEvidence,
    *,
    heartbeat_interval_s: float,
    leases_tell: bool,
) -> Decision:
    evidence: dict[str, Any] = {
        "worker": {key: value for key, value in asdict(worker).items() if value is not None}
    }
    if candidate.waits_for_children:
        return _waiting(candidate, evidence)
    if worker.lease in ("expired", "unknown") and not leases_tell:
        return Decision(candidate, Action.LEAVE, evidence)
    if worker.lease != "live":
        return _lost(candidate, evidence, Reason.WORKER_LOST)
    # Two beats after the claim, so that a list drawn up just before it does not count.
    if not worker.lists_run and worker.listed_after_s > 2 * heartbeat_interval_s:
        return _lost(candidate, evidence, Reason.ATTEMPT_ABANDONED)
    if candidate.cancel_age_s is not None and candidate.cancel_age_s > CANCEL_BOUND_S:
        evidence["cancel_requested_s_ago"] = candidate.cancel_age_s
        return _passed(candidate, Action.CLOSE, evidence, Reason.CANCEL_IGNORED, CANCEL_BOUND_S)
    if candidate.is_past_stale:
        threshold_s = candidate.policy.running_stale_after
        return _passed(candidate, Action.CLOSE, evidence, Reason.STALE_RUNNING, threshold_s)
    return Decision(candidate, Action.LEAVE, evidence)


def _waiting(candidate: Candidate, evidence: dict[str, Any]) -> Decision:
    if candidate.is_past_stale:
        threshold_s = candidate.policy.max_queue_wait + candidate.policy.running_stale_after
        return _passed(candidate, Action.CLOSE, evidence, Reason.STALE_RUNNING, threshold_s)
    return Decision(candidate, Action.LEAVE, evidence)


def _lost(candidate: Candidate, evidence: dict[str, Any], reason: Reason) -> Decision:
    attempt = LostAttempt(
        policy=candidate.policy,
        lost_deliveries=candidate.lost_deliveries,
        probation=candidate.probation,
        counts=candidate.counts,
        cancel_requested=candidate.cancel_age_s is not None,
    )
    loss = judge_loss(attempt, reason, evidence)
    return Decision(
        candidate,
        Action.REDISPATCH if loss.redispatch else Action.CLOSE,
        loss.evidence,
        loss.reason,
        charged=True,
        outcome=loss.outcome,
    )


def _queued(candidate: Candidate, message: MessageEvidence, *, holder_is_alive: bool) -> Decision:
    policy = candidate.policy
    evidence: dict[str, Any] = {"message": {"state": message.state}}
    if message.holder is not None:
        evidence["message"]["holder"] = message.holder
        evidence["message"]["holder_is_alive"] = holder_is_alive
    if candidate.is_in_hand:
        # A live worker took it just now, and may have begun: what the broker says is older.
        evidence["in_hand_of"] = candidate.holder
        return Decision(candidate, Action.LEAVE, evidence)
    if candidate.cancel_age_s is not None:
        return Decision(candidate, Action.CANCEL, evidence, Reason.CANCELLED_BY_OPERATOR)
    if candidate.is_past_wait:
        return _passed(
            candidate, Action.CLOSE, evidence, Reason.QUEUE_WAIT_EXCEEDED, policy.max_queue_wait
        )
    if candidate.holder_is_live and not candidate.is_past_stale:
        evidence["held_by"] = candidate.holder
        return Decision(candidate, Action.LEAVE, evidence)
    match message.state:
        case MessageState.GONE if _may_be_on_its_way(candidate):
            return Decision(candidate, Action.LEAVE, evidence)
        case MessageState.GONE:
            resend = policy.on_message_lost is OnLoss.REDISPATCH
            action = Action.REDISPATCH if resend else Action.CLOSE
            return Decision(candidate, action, evidence, Reason.MESSAGE_LOST)
        case MessageState.DEAD_LETTERED:
            return Decision(candidate, Action.CLOSE, evidence, Reason.MESSAGE_DEAD_LETTERED)
        case MessageState.HELD if not holder_is_alive:
            return Decision(candidate, Action.RELEASE, evidence)
    if candidate.is_past_stale:
        return _silent_for_too_long(candidate, message.state, evidence)
    return Decision(candidate, Action.LEAVE, evidence)


def _may_be_on_its_way(candidate: Candidate) -> bool:
    # Sending again is fenced and does no harm; failing a run whose send is slow does.
    fails = candidate.policy.on_message_lost is OnLoss.FAIL
    return fails and candidate.sent_age_s < SENDING_TAKES_AT_MOST_S


def _silent_for_too_long(
    candidate: Candidate, state: MessageState, evidence: dict[str, Any]
) -> Decision:
    threshold_s = candidate.policy.queued_stale_after
    match state:
        case MessageState.READY:
            return Decision(candidate, Action.PUT_OFF, evidence)
        case MessageState.HELD:
            return _passed(
                candidate, Action.REDISPATCH, evidence, Reason.MESSAGE_STRANDED, threshold_s
            )
        case MessageState.UNKNOWN:
            return _passed(candidate, Action.CLOSE, evidence, Reason.STALE_QUEUED, threshold_s)
    # The broker does not answer: what cannot be looked for is not called lost.
    return Decision(candidate, Action.LEAVE, evidence)


def _passed(
    candidate: Candidate,
    action: Action,
    evidence: dict[str, Any],
    reason: Reason,
    threshold_s: float,
) -> Decision:
    return Decision(candidate, action, evidence, reason, threshold_s=threshold_s)
