"""Every durable family with its catalogue of labels: which there are, and no other series."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from lastword.metrics.families import Family
from lastword.reasons import Reason
from lastword.service.metering import RESOLVED_BY
from lastword.service.requests import Acceptance
from lastword.states import Outcome

#: Actions of the audit log that are told apart at most.
MOST_ACTIONS = 100

_ACTION = re.compile(r"[a-z]{1,20}\.[a-z_]{1,30}")

_ENDED = tuple(str(outcome) for outcome in Outcome if outcome is not Outcome.PENDING)

#: Reasons that a reconciler gives.
RECONCILED_FOR = tuple(
    str(reason)
    for reason in (
        *(Reason.STALE_QUEUED, Reason.STALE_RUNNING, Reason.QUEUE_WAIT_EXCEEDED),
        *(Reason.WORKER_LOST, Reason.ATTEMPT_ABANDONED, Reason.MESSAGE_LOST),
        *(Reason.MESSAGE_STRANDED, Reason.MESSAGE_DEAD_LETTERED, Reason.TOO_MANY_DELIVERIES),
        *(Reason.CANCEL_IGNORED, Reason.ADAPTER_OUT_OF_SYNC),
    )
)

_CODES = (*map(str, (401, 403, 404, 409, 410, 429)), "1xx", "2xx", "3xx", "4xx", "5xx", "none")


class Actions(Collection[str]):
    """Whatever reads like an action of ours."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and _ACTION.fullmatch(value) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return MOST_ACTIONS


def families(operations: Collection[str], jobs: Collection[str] = ()) -> list[Family]:
    """Every durable family.

    Args:
        operations: the catalogue of this deployment.
        jobs: the jobs of the scheduler.
    """
    return [
        *_starts(operations),
        *_ends(operations),
        *_times(operations),
        *_attempts(operations),
        *_machinery(jobs),
        *_outside(),
    ]


def _starts(operations: Collection[str]) -> list[Family]:
    of = {"operation": operations}
    triggers = ("person", "application", "schedule", "rerun", "parent")
    shared = (str(Acceptance.DEDUPED), str(Acceptance.SCOPE_BUSY))
    return [
        Family(
            "runs_created",
            "runs_created",
            "Runs that were accepted, or refused at their start.",
            {**of, "trigger": triggers},
            [(name, "application") for name in operations],
        ),
        Family(
            "starts_deduplicated",
            "starts_deduplicated",
            "Starts that were answered by a run that was there.",
            {**of, "result": shared},
            [(name, result) for name in operations for result in shared],
        ),
    ]


def _ends(operations: Collection[str]) -> list[Family]:
    of = {"operation": operations}
    outcomes = {**of, "outcome": _ENDED}
    reasons = {"reason": RECONCILED_FOR}
    resolved = (
        *(("succeeded", "worker"), ("partially_succeeded", "worker"), ("blocked", "gate")),
        *(("failed", "bridge"), ("failed", "reconciler"), ("cancelled", "operator")),
    )
    return [
        Family(
            "runs_completed",
            "runs_completed",
            "Runs that have had their last word.",
            {**outcomes, "resolved_by": sorted(set(RESOLVED_BY.values()))},
            [(name, *pair) for name in operations for pair in resolved],
        ),
        Family(
            "runs_reconciled",
            "runs_reconciled",
            "Runs that a reconciler gave their last word.",
            {**of, **reasons},
            [(name, "worker_lost") for name in operations],
        ),
        Family(
            "reconcile_lag",
            "reconcile_lag_seconds",
            "From the limit that was passed to the last word.",
            reasons,
            [(reason,) for reason in RECONCILED_FOR],
        ),
    ]


def _times(operations: Collection[str]) -> list[Family]:
    of = {"operation": operations}
    outcomes = {**of, "outcome": _ENDED}
    return [
        Family(
            "run_queue_wait",
            "run_queue_wait_seconds",
            "From the moment a run was due to its start.",
            of,
            [(name,) for name in operations],
        ),
        Family(
            "run_duration",
            "run_duration_seconds",
            "From the first start to the last word.",
            outcomes,
            [(name, "succeeded") for name in operations],
        ),
    ]


def _attempts(operations: Collection[str]) -> list[Family]:
    of = {"operation": operations}
    endings = (
        *("succeeded", "partially_succeeded", "failed", "blocked", "cancelled"),
        *("retrying", "deferred", "lost", "closed"),
    )
    return [
        Family(
            "run_attempts",
            "run_attempts",
            "Attempts that have ended.",
            {**of, "result": endings},
            [(name, result) for name in operations for result in ("succeeded", "lost")],
        ),
        Family(
            "run_transition_conflicts",
            "run_transition_conflicts",
            "Transitions of reconcilers that found the run moved.",
            {"transition": ("redispatch", "recover", "close_queued", "close_running", "conclude")},
            [("close_running",)],
        ),
    ]


def _machinery(jobs: Collection[str]) -> list[Family]:
    exits = ("drained", "stopped", "lost", "grace_exceeded")
    return [
        Family(
            "sweep_duration",
            "reconciler_sweep_duration_seconds",
            "How long a job of the scheduler took.",
            {"task": jobs},
            [(job,) for job in jobs],
        ),
        Family(
            "worker_exits",
            "worker_exits",
            "Workers that have ended.",
            {"reason": exits},
            [(reason,) for reason in exits],
        ),
        Family(
            "heartbeat_write",
            "heartbeat_write_duration_seconds",
            "How long a worker took to write a heartbeat.",
            {},
            [()],
        ),
        Family(
            "worker_drain",
            "worker_drain_duration_seconds",
            "From the signal to the end of a worker that was drained.",
            {},
            [()],
        ),
    ]


def _outside() -> list[Family]:
    results = ("done", "denied", "failed")
    methods = ("password", "oidc", "proxy", "link")
    return [
        Family(
            "provider_requests",
            "provider_requests",
            "Requests to the provider.",
            {"method": ("GET", "POST", "PATCH", "PUT", "DELETE"), "code": _CODES},
            [("GET", "2xx"), ("GET", "429")],
        ),
        Family(
            "provider_wait_ms",
            "provider_wait_seconds",
            "Time that was given to waiting for the provider.",
            {"reason": ("throttled", "limiter")},
            [("throttled",), ("limiter",)],
        ),
        Family(
            "audit_events",
            "audit_events",
            "Entries of the audit log.",
            {"action": Actions(), "result": results},
            [("run.start", "done"), ("run.start", "denied")],
        ),
        Family(
            "auth_logins",
            "auth_logins",
            "Sign-ins.",
            {"method": methods, "result": ("succeeded", "failed")},
            [(method, "succeeded") for method in methods] + [("password", "failed")],
        ),
    ]
