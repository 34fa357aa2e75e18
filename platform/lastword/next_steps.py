"""What helps, for every reason code: the one catalogue of next steps that operators read."""

from __future__ import annotations

from collections.abc import Mapping

from lastword.reasons import Reason

NEXT_STEPS: Mapping[Reason, str] = {
    Reason.STALE_QUEUED: "See whether workers serve the queue; then retry the run",
    Reason.STALE_RUNNING: "See what the attempt was waiting for; raise its limits or retry the run",
    Reason.QUEUE_WAIT_EXCEEDED: "Add workers for the queue, or raise max_queue_wait; then retry",
    Reason.WORKER_LOST: "Look at what the worker died of, check what was done, then retry the run",
    Reason.ATTEMPT_ABANDONED: "Look at the worker's log around this run, then retry it",
    Reason.MESSAGE_LOST: "See whether the broker was emptied or restarted, then retry the run",
    Reason.MESSAGE_STRANDED: "See what kept the worker from starting it, then retry the run",
    Reason.MESSAGE_DEAD_LETTERED: "See `lastword dead-letters`, mend the cause, retry the run",
    Reason.TOO_MANY_DELIVERIES: "The work may be what kills its worker: look at its memory first",
    Reason.CANCEL_IGNORED: "Its work may have gone on: look at the tenant before you start again",
    Reason.ADAPTER_OUT_OF_SYNC: "Nothing has to be done: the record of the work has the end",
    Reason.RETRIES_EXHAUSTED: "Look at the diagnostics of the last attempt, mend the cause, retry",
    Reason.RETRY_LOST: "See the worker's log for what broke the next try, then retry the run",
    Reason.NOT_RETRYABLE: "Mend what the failure says, then start it anew",
    Reason.TIME_LIMIT_EXCEEDED: "Raise time_limit, or make the work smaller; then retry",
    Reason.AGE_LIMIT_EXCEEDED: "Raise the message's age limit or add workers; then retry",
    Reason.REJECTED: "See the worker's log for which middleware rejected it",
    Reason.UNKNOWN_ACTOR: "Deploy a worker that has the code, then retry the run",
    Reason.UNDECODABLE_MESSAGE: "See what else writes to the queue, then retry the run",
    Reason.CHILDREN_FAILED: "Open the runs it is made of and mend those",
    Reason.DISPATCH_FAILED: "See whether the broker can be reached, then retry the run",
    Reason.WORKSPACE_MISMATCH: "Start it in the workspace that the tenant belongs to",
    Reason.TENANT_NOT_ENTITLED: "Ask the owner of the installation to resume the workspace",
    Reason.MISSING_CAPABILITY: "Give the person a higher role with `lastword users grant`",
    Reason.TENANT_NOT_OPERABLE: "Resume the tenant with `lastword tenants set TENANT resumed`",
    Reason.TENANT_MISSING: "Add the tenant with `lastword tenants add`, or start it elsewhere",
    Reason.INITIATOR_MISSING: "Add the person with `lastword users add`",
    Reason.INITIATOR_NOT_ENTITLED: "Make the person a member with `lastword users grant`",
    Reason.PROVIDER_CONNECTION_INVALID: "Set the connection of the tenant to its provider",
    Reason.WRITE_GATE_BLOCKED: "Open the tenant with `lastword tenants set TENANT writable`",
    Reason.EXECUTION_PREREQUISITE_INVALID: "Bring what it needs up to date, then start it anew",
    Reason.MISSING_CONFIGURATION: "Set what the failure names, then start it anew",
    Reason.PERMISSION_DENIED: "Grant the application the permission at the provider",
    Reason.AUTHENTICATION_FAILED: "Renew the application's secret and set the connection",
    Reason.THROTTLED: "Start it again later, when less is asked of the provider",
    Reason.DEPENDENCY_UNREACHABLE: "See the provider's state; then retry the run",
    Reason.INVALID_STATE: "Look at what the failure names, then start it anew",
    Reason.UNKNOWN_ERROR: "Look at the diagnostics of the last attempt",
    Reason.CANCELLED_BY_OPERATOR: "Nothing has to be done",
}
