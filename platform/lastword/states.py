"""The states of a run and the arrows between them. Who may draw an arrow is part of the arrow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a run stands. `completed` absorbs: no write changes it again."""

    #: Set by start, retry and redispatch; cleared by claim, or by whatever closes the run.
    QUEUED = "queued"
    #: Set by claim; cleared by the attempt's end, the bridge or a reconciler.
    RUNNING = "running"
    #: Set once, with the outcome; never cleared.
    COMPLETED = "completed"


class Outcome(StrEnum):
    """How a run ended; `pending` exactly while it is active."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    #: Refused before any effect.
    BLOCKED = "blocked"
    #: Tried, and broke - or lost.
    FAILED = "failed"
    CANCELLED = "cancelled"


class Source(StrEnum):
    """Who moved a run."""

    START = "start"
    WORKER = "worker"
    GATE = "gate"
    BRIDGE = "bridge"
    SENTINEL = "sentinel"
    GENERIC = "generic"
    #: The last child of a run that waited for its children.
    CHILDREN = "children"
    BACKUP_SCHEDULE = "backup_schedule"
    ADAPTER = "adapter"
    OPERATOR = "operator"


class EventKind(StrEnum):
    """What an event says of its run; append, never rename."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    CLAIMED = "claimed"
    RETRY_SCHEDULED = "retry_scheduled"
    #: The attempt asked to go on later; no try is spent.
    DEFERRED = "deferred"
    REDISPATCHED = "redispatched"
    COMPLETED = "completed"
    CANCEL_REQUESTED = "cancel_requested"
    #: The attempt returned; the run ends with its last child.
    AWAITING_CHILDREN = "awaiting_children"
    #: An attempt reported after its run was closed or handed to another attempt.
    LATE_RESULT = "late_result"


ACTIVE = frozenset({Status.QUEUED, Status.RUNNING})
TERMINAL = frozenset(Status) - ACTIVE

#: Outcomes that leave nothing for an operator to follow up.
WELL_ENDED = frozenset({Outcome.SUCCEEDED, Outcome.CANCELLED})

#: Sources whose closing of a run is a reconciliation: they acted in the place of a lost party.
RECONCILERS = frozenset(
    {Source.SENTINEL, Source.GENERIC, Source.BACKUP_SCHEDULE, Source.ADAPTER},
)


@dataclass(frozen=True, slots=True)
class Arrow:
    """One allowed transition: from any of `origins` to `target`, leaving one event of `kind`."""

    name: str
    origins: frozenset[Status]
    target: Status
    kind: EventKind
    outcomes: frozenset[Outcome]
    sources: frozenset[Source]


def _arrow(
    name: str,
    origins: set[Status],
    target: Status,
    kind: EventKind,
    *,
    by: set[Source],
    outcomes: set[Outcome] | None = None,
) -> Arrow:
    return Arrow(
        name=name,
        origins=frozenset(origins),
        target=target,
        kind=kind,
        outcomes=frozenset(outcomes or {Outcome.PENDING}),
        sources=frozenset(by),
    )


QUEUED, RUNNING, COMPLETED = Status.QUEUED, Status.RUNNING, Status.COMPLETED

ACCEPT = _arrow("accept", set(), QUEUED, EventKind.ACCEPTED, by={Source.START})
REFUSE = _arrow(
    "refuse",
    set(),
    COMPLETED,
    EventKind.REFUSED,
    by={Source.START},
    outcomes={Outcome.BLOCKED},
)
CLAIM = _arrow("claim", {QUEUED}, RUNNING, EventKind.CLAIMED, by={Source.WORKER})
BLOCK = _arrow(
    "block",
    {QUEUED},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.GATE},
    outcomes={Outcome.BLOCKED},
)
RETRY = _arrow("retry", {RUNNING}, QUEUED, EventKind.RETRY_SCHEDULED, by={Source.WORKER})
DEFER = _arrow("defer", {RUNNING}, QUEUED, EventKind.DEFERRED, by={Source.WORKER})
FINISH = _arrow(
    "finish",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.WORKER},
    outcomes={Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED},
)
#: The attempt found, before it had any effect, that it may not go on.
DECLINE = _arrow(
    "decline",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.WORKER},
    outcomes={Outcome.BLOCKED},
)
#: The queue gave up on a run whose attempt is the current one.
BRIDGE_ATTEMPT = _arrow(
    "bridge_attempt",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.BRIDGE},
    outcomes={Outcome.FAILED},
)
#: The queue gave up on a delivery before any attempt was claimed for it.
BRIDGE_DELIVERY = _arrow(
    "bridge_delivery",
    {QUEUED},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.BRIDGE},
    outcomes={Outcome.FAILED},
)
REDISPATCH = _arrow(
    "redispatch",
    {QUEUED},
    QUEUED,
    EventKind.REDISPATCHED,
    by={Source.GENERIC},
)
RECOVER = _arrow(
    "recover",
    {RUNNING},
    QUEUED,
    EventKind.REDISPATCHED,
    by={Source.GENERIC, Source.SENTINEL},
)
CLOSE_QUEUED = _arrow(
    "close_queued",
    {QUEUED},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.GENERIC},
    outcomes={Outcome.FAILED},
)
CLOSE_RUNNING = _arrow(
    "close_running",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.GENERIC, Source.SENTINEL},
    # In part, where the policy says that what was done before the loss counts.
    outcomes={Outcome.FAILED, Outcome.PARTIALLY_SUCCEEDED},
)
#: The domain's own record of the work says how it ended.
CONCLUDE = _arrow(
    "conclude",
    {QUEUED, RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.BACKUP_SCHEDULE, Source.ADAPTER},
    outcomes=set(Outcome) - {Outcome.PENDING},
)
CANCEL_QUEUED = _arrow(
    "cancel_queued",
    {QUEUED},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.OPERATOR},
    outcomes={Outcome.CANCELLED},
)

#: The attempt was asked to stop, and did.
CANCEL_ATTEMPT = _arrow(
    "cancel_attempt",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.WORKER},
    outcomes={Outcome.CANCELLED},
)
#: Nobody works on a run that waits for its children.
CANCEL_WAITING = _arrow(
    "cancel_waiting",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.OPERATOR},
    outcomes={Outcome.CANCELLED},
)
GATHER = _arrow(
    "gather",
    {RUNNING},
    COMPLETED,
    EventKind.COMPLETED,
    by={Source.CHILDREN},
    outcomes={Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED, Outcome.FAILED},
)

#: Every arrow there is. A transition that is not here cannot be made.
ARROWS = (
    ACCEPT,
    REFUSE,
    CLAIM,
    BLOCK,
    RETRY,
    DEFER,
    FINISH,
    DECLINE,
    BRIDGE_ATTEMPT,
    BRIDGE_DELIVERY,
    REDISPATCH,
    RECOVER,
    CLOSE_QUEUED,
    CLOSE_RUNNING,
    CONCLUDE,
    CANCEL_QUEUED,
    CANCEL_ATTEMPT,
    CANCEL_WAITING,
    GATHER,
)
