"""The words and pictures of the web: each state has one text, one icon and one tone.

Operators read `stale`, `reconciled` and `infrastructure failure`; what broke in the machinery is
told by the diagnostics alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lastword.access import Role
from lastword.next_steps import NEXT_STEPS
from lastword.reading.freshness import Freshness, ProblemClass
from lastword.reasons import SENTENCES, Reason
from lastword.states import EventKind, Outcome, Status


@dataclass(frozen=True, slots=True)
class Badge:
    """A state as people see it: never by its colour alone.

    Attributes:
        text: what it says.
        icon: the name of its picture in the sprite.
        tone: `neutral`, `busy`, `good`, `warn` or `bad`.
        title: what it means, in a sentence.
    """

    text: str
    icon: str
    tone: str
    title: str = ""


STATES: Mapping[str, Badge] = {
    Status.QUEUED: Badge("Queued", "clock", "neutral", "Waits for a worker"),
    Status.RUNNING: Badge("Running", "running", "busy", "A worker is doing it"),
    Outcome.SUCCEEDED: Badge("Succeeded", "check", "good", "All of it was done"),
    Outcome.PARTIALLY_SUCCEEDED: Badge("Partly done", "alert", "warn", "Some of it was not done"),
    Outcome.BLOCKED: Badge("Blocked", "ban", "warn", "Refused before anything was done"),
    Outcome.FAILED: Badge("Failed", "cross", "bad", "It did not succeed"),
    Outcome.CANCELLED: Badge("Cancelled", "slash", "neutral", "Somebody asked for its end"),
}

FRESHNESS: Mapping[str, Badge] = {
    Freshness.FRESH_ACTIVE: Badge("Fresh", "pulse", "good", "Inside every limit that is known"),
    Freshness.LIKELY_STALE: Badge("Stale", "stale", "bad", "A reconciler will judge it"),
    Freshness.RECONCILED_FAILED: Badge(
        "Reconciled", "reconciled", "warn", "A reconciler ended it in the place of a lost party"
    ),
    Freshness.TERMINAL_NORMAL: Badge("Ended", "check", "neutral", "It ended in its ordinary way"),
    Freshness.UNKNOWN: Badge("Unknown", "question", "warn", "A state that this version knows not"),
}

PROBLEMS: Mapping[str, str] = {
    ProblemClass.NONE: "No problem",
    ProblemClass.ACTIVE_STALE_ATTENTION: "Active and stale",
    ProblemClass.TERMINAL_FOLLOW_UP: "To be followed up",
}

#: Ends that the machinery met and not the work.
INFRASTRUCTURE = frozenset(
    {
        *(Reason.STALE_QUEUED, Reason.STALE_RUNNING, Reason.QUEUE_WAIT_EXCEEDED),
        *(Reason.WORKER_LOST, Reason.ATTEMPT_ABANDONED, Reason.MESSAGE_LOST),
        *(Reason.MESSAGE_STRANDED, Reason.MESSAGE_DEAD_LETTERED, Reason.TOO_MANY_DELIVERIES),
        *(Reason.RETRY_LOST, Reason.REJECTED, Reason.UNKNOWN_ACTOR, Reason.UNDECODABLE_MESSAGE),
        *(Reason.DISPATCH_FAILED, Reason.AGE_LIMIT_EXCEEDED),
    }
)

INFRASTRUCTURE_BADGE = Badge(
    "Infrastructure failure", "unplug", "bad", "The machinery broke, not the work"
)

#: What became of something that somebody tried.
RESULTS: Mapping[str, Badge] = {
    "done": Badge("Done", "check", "good"),
    "denied": Badge("Denied", "ban", "bad"),
    "failed": Badge("Failed", "cross", "bad"),
}

EVENTS: Mapping[str, str] = {
    EventKind.ACCEPTED: "Accepted",
    EventKind.REFUSED: "Refused before any effect",
    EventKind.CLAIMED: "Started by a worker",
    EventKind.RETRY_SCHEDULED: "Failed, to be tried again",
    EventKind.DEFERRED: "Put off until later",
    EventKind.REDISPATCHED: "Sent again",
    EventKind.COMPLETED: "Ended",
    EventKind.CANCEL_REQUESTED: "Asked to stop",
    EventKind.AWAITING_CHILDREN: "Waits for its parts",
    EventKind.LATE_RESULT: "Late result ignored",
}

ENDINGS: Mapping[str, str] = {
    "succeeded": "Succeeded",
    "partially_succeeded": "Partly done",
    "failed": "Failed",
    "blocked": "Blocked",
    "cancelled": "Cancelled",
    "retrying": "Failed, tried again",
    "deferred": "Put off",
    "lost": "Lost with its worker",
    "closed": "Closed from outside",
}

ROLES: Mapping[str, str] = {
    Role.VIEWER: "Viewer",
    Role.OPERATOR: "Operator",
    Role.MANAGER: "Manager",
    Role.OWNER: "Owner",
}

SOURCES: Mapping[str, str] = {
    "start": "Start",
    "worker": "Worker",
    "gate": "Legitimacy gate",
    "bridge": "Bridge",
    "sentinel": "Sentinel",
    "generic": "Generic reconciler",
    "children": "Last of its parts",
    "backup_schedule": "Backup reconciler",
    "adapter": "Restore reconciler",
    "operator": "Operator",
}


def state_badge(status: str, outcome: str) -> Badge:
    """The badge of a run's state: how it ended, once it has."""
    unknown = FRESHNESS[Freshness.UNKNOWN]
    return STATES.get(outcome if status == Status.COMPLETED else status, unknown)


def freshness_badge(freshness: str) -> Badge | None:
    """The badge beside it; None where the state says it all."""
    if freshness == Freshness.TERMINAL_NORMAL:
        return None
    return FRESHNESS.get(freshness, FRESHNESS[Freshness.UNKNOWN])


def is_infrastructure(reason: str | None) -> bool:
    """Whether the machinery is to blame for an end of this reason."""
    return reason in INFRASTRUCTURE


def sentence_of(reason: str | None) -> str:
    """What a reason code means, in a sentence."""
    return SENTENCES[Reason(reason)] if reason in set(Reason) else ""


def next_step_of(reason: str | None) -> str:
    """What helps against it."""
    return NEXT_STEPS[Reason(reason)] if reason in set(Reason) else ""
