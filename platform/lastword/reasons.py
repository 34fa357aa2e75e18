"""Why a run ended: the closed list of reason codes, each with the sentence an operator reads."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Stable codes; append, never rename. Exception text never goes here."""

    # Found by a reconciler.
    STALE_QUEUED = "stale_queued"
    STALE_RUNNING = "stale_running"
    QUEUE_WAIT_EXCEEDED = "queue_wait_exceeded"
    WORKER_LOST = "worker_lost"
    ATTEMPT_ABANDONED = "attempt_abandoned"
    MESSAGE_LOST = "message_lost"
    MESSAGE_STRANDED = "message_stranded"
    MESSAGE_DEAD_LETTERED = "message_dead_lettered"
    TOO_MANY_DELIVERIES = "too_many_deliveries"
    CANCEL_IGNORED = "cancel_ignored"
    ADAPTER_OUT_OF_SYNC = "adapter_out_of_sync"

    # Carried over the bridge from the queue.
    RETRIES_EXHAUSTED = "retries_exhausted"
    RETRY_LOST = "retry_lost"
    NOT_RETRYABLE = "not_retryable"
    TIME_LIMIT_EXCEEDED = "time_limit_exceeded"
    AGE_LIMIT_EXCEEDED = "age_limit_exceeded"
    REJECTED = "rejected"
    UNKNOWN_ACTOR = "unknown_actor"
    UNDECODABLE_MESSAGE = "undecodable_message"
    DISPATCH_FAILED = "dispatch_failed"

    # Refused by the gate.
    WORKSPACE_MISMATCH = "workspace_mismatch"
    TENANT_NOT_ENTITLED = "tenant_not_entitled"
    MISSING_CAPABILITY = "missing_capability"
    TENANT_NOT_OPERABLE = "tenant_not_operable"
    TENANT_MISSING = "tenant_missing"
    INITIATOR_MISSING = "initiator_missing"
    INITIATOR_NOT_ENTITLED = "initiator_not_entitled"
    PROVIDER_CONNECTION_INVALID = "provider_connection_invalid"
    WRITE_GATE_BLOCKED = "write_gate_blocked"
    EXECUTION_PREREQUISITE_INVALID = "execution_prerequisite_invalid"

    # Said by an operation of itself.
    MISSING_CONFIGURATION = "missing_configuration"
    PERMISSION_DENIED = "permission_denied"
    AUTHENTICATION_FAILED = "authentication_failed"
    THROTTLED = "throttled"
    DEPENDENCY_UNREACHABLE = "dependency_unreachable"
    INVALID_STATE = "invalid_state"
    UNKNOWN_ERROR = "unknown_error"

    # Said by its parts.
    CHILDREN_FAILED = "children_failed"

    # Asked for.
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"


SENTENCES: dict[Reason, str] = {
    Reason.STALE_QUEUED: "The run waited past its limit and nothing shows that it can still start.",
    Reason.STALE_RUNNING: "The run was still working past the longest time its policy allows.",
    Reason.QUEUE_WAIT_EXCEEDED: "The run waited in the queue longer than its policy allows.",
    Reason.WORKER_LOST: "The worker that ran this died or lost contact.",
    Reason.ATTEMPT_ABANDONED: "The worker is alive but no longer works on this run.",
    Reason.MESSAGE_LOST: "The queue no longer holds this run's message.",
    Reason.MESSAGE_STRANDED: "A worker held this run's message for too long without starting it.",
    Reason.MESSAGE_DEAD_LETTERED: "The queue gave up on this run's message.",
    Reason.TOO_MANY_DELIVERIES: "The run lost its worker as often as its policy allows.",
    Reason.CANCEL_IGNORED: "The run was asked to stop and did not; its work may have gone on.",
    Reason.ADAPTER_OUT_OF_SYNC: "The record of the work had ended and the run had not.",
    Reason.RETRIES_EXHAUSTED: "The run failed as often as its policy allows it to be tried.",
    Reason.RETRY_LOST: "The queue dropped the next try of this run.",
    Reason.NOT_RETRYABLE: "The run failed in a way that trying again cannot mend.",
    Reason.TIME_LIMIT_EXCEEDED: "The run was stopped at its time limit.",
    Reason.AGE_LIMIT_EXCEEDED: "The message was older than its age limit when it was delivered.",
    Reason.REJECTED: "The worker rejected the run before it started.",
    Reason.UNKNOWN_ACTOR: "No worker knows the code for this run.",
    Reason.UNDECODABLE_MESSAGE: "The queue delivered this run's message damaged.",
    Reason.CHILDREN_FAILED: "One or more of the runs that this one is made of did not succeed.",
    Reason.DISPATCH_FAILED: "The run could not be handed to the queue.",
    Reason.WORKSPACE_MISMATCH: "The tenant belongs to another workspace.",
    Reason.TENANT_NOT_ENTITLED: "This workspace may not work on the tenant.",
    Reason.MISSING_CAPABILITY: "The initiator may not do this operation.",
    Reason.TENANT_NOT_OPERABLE: "The tenant is not in a state in which operations may run.",
    Reason.TENANT_MISSING: "The tenant no longer exists.",
    Reason.INITIATOR_MISSING: "The initiator no longer exists.",
    Reason.INITIATOR_NOT_ENTITLED: "The initiator may no longer work on the tenant.",
    Reason.PROVIDER_CONNECTION_INVALID: "The connection to the provider does not work.",
    Reason.WRITE_GATE_BLOCKED: "Writing to the tenant is switched off.",
    Reason.EXECUTION_PREREQUISITE_INVALID: "Something this operation needs is missing or changed.",
    Reason.MISSING_CONFIGURATION: "A setting that this operation needs is missing.",
    Reason.PERMISSION_DENIED: "The provider refused permission.",
    Reason.AUTHENTICATION_FAILED: "The provider refused the credentials.",
    Reason.THROTTLED: "The provider asked to slow down for longer than the run could wait.",
    Reason.DEPENDENCY_UNREACHABLE: "The provider could not be reached or did not answer properly.",
    Reason.INVALID_STATE: "The provider or the records were in a state that does not allow this.",
    Reason.UNKNOWN_ERROR: "The run failed for a reason that is only in its diagnostics.",
    Reason.CANCELLED_BY_OPERATOR: "An operator cancelled the run.",
}


class RunFailure(Exception):
    """Raised inside an actor to end or retry its run with a reason that operators can read.

    Args:
        reason: the code to record if this ends the run.
        message: an operator-safe detail: no secrets, no exception text.
    """

    def __init__(self, reason: Reason, message: str = "") -> None:
        self.reason = reason
        self.message = message or SENTENCES[reason]
        super().__init__(f"{reason}: {self.message}")


class TransientFailure(RunFailure):
    """Trying again may help: retried within the policy's budget."""


class PermanentFailure(RunFailure):
    """Trying again cannot help: the run fails at once."""


class Blocked(PermanentFailure):
    """The work found, before it had any effect, that it may not be done: the run ends as blocked.

    Raised after an effect it would be a lie: raise `PermanentFailure` then.
    """


class Deferral(RunFailure):
    """The work has saved where it stands and goes on later: no failure, and no try is spent.

    The worker is free meanwhile. A run may be deferred for as long as its policy's `max_deferral`
    says, counted from its first start; past that it fails with the reason.

    Args:
        delay_s: how long to wait, in seconds.
        reason: why it cannot go on now.
        message: an operator-safe detail.
    """

    def __init__(self, delay_s: float, reason: Reason, message: str = "") -> None:
        super().__init__(reason, message)
        self.delay_s = delay_s
