"""What callers hand to the service and what it answers: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lastword.counts import Number
from lastword.identity import RunId, WorkerId
from lastword.policy import Policy
from lastword.reasons import Reason
from lastword.states import Outcome, Source, Status


@dataclass(frozen=True, slots=True)
class NewRun:
    """A request to do an operation, ready to be accepted.

    Attributes:
        run_id: its id; also its message's.
        policy: the policy it is accepted under.
        actor_name: the actor that does it.
        payload: the message as JSON text, so that it can be sent again.
        delay_s: how long it is to be held back, in seconds.
        identity_hash: at most one active run may hold it; None never collides.
        message_queue: where its message will be, if that is known already.
        message_ref: the broker's own id of that message, if it has one.
        retry_of: the completed run that this one does again.
        parent_id: the run that this one is a part of, and that ends with its last part.
    """

    run_id: RunId
    policy: Policy
    actor_name: str
    payload: str
    delay_s: float = 0.0
    workspace_id: str | None = None
    tenant_id: str | None = None
    initiator_id: str | None = None
    initiator_name: str = "System"
    identity_hash: str | None = None
    message_queue: str | None = None
    message_ref: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    retry_of: RunId | None = None
    parent_id: RunId | None = None


class Acceptance(StrEnum):
    """What became of a request."""

    ACCEPTED = "accepted"
    #: An active run of the same identity, or this very run, was there already.
    DEDUPED = "deduped"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run that answers a request: the new one, or the one that was there."""

    run_id: RunId
    result: Acceptance


@dataclass(frozen=True, slots=True)
class Sending:
    """Where the message of a run's current dispatch is now."""

    run_id: RunId
    dispatch: int
    message_queue: str
    message_ref: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that reached a worker and asks to start its run."""

    run_id: RunId
    dispatch: int


class Refusal(StrEnum):
    """Why a delivery may not start its run."""

    #: The run is completed: nothing is left to do.
    COMPLETED = "completed"
    #: The run is being worked on.
    RUNNING = "running"
    #: Another worker with a live lease has fetched this delivery.
    HELD = "held"
    #: The run was asked to stop before it was begun.
    ASKED_TO_STOP = "asked_to_stop"
    #: The message came unmarked, and cannot be accepted: it is too large, or no JSON.
    UNACCEPTABLE = "unacceptable"
    #: The message does not ask for what was accepted under its id.
    TAMPERED = "tampered"
    #: The run was sent again since: a later message carries it.
    SUPERSEDED = "superseded"
    #: The ledger has no such run.
    UNKNOWN_RUN = "unknown_run"
    #: This worker's own lease is not live: it may not start anything.
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The answer to a delivery that was fetched: it may become this attempt, or the refusal.

    Attributes:
        attempt: the number of the attempt that it becomes, once it is begun.
        probation: whether its start has to be recorded before it is executed.
        payload: the message as it was accepted.
        context: the run's context as JSON text.
    """

    run_id: RunId
    dispatch: int
    attempt: int = 0
    operation: str = ""
    tenant_id: str | None = None
    workspace_id: str | None = None
    worker_id: WorkerId | None = None
    context: str = "{}"
    payload: str = ""
    probation: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Beginning:
    """A reserved delivery whose execution has begun; recorded with others, perhaps with its end.

    Attributes:
        age_s: how long ago it began, in seconds.
    """

    run_id: RunId
    dispatch: int
    attempt: int
    worker_id: WorkerId
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a delivery: an attempt, or the refusal of one."""

    run_id: RunId
    attempt: int = 0
    operation: str = ""
    tenant_id: str | None = None
    workspace_id: str | None = None
    #: The worker that the attempt belongs to; None with a refusal.
    worker_id: WorkerId | None = None
    #: The run's context as JSON text.
    context: str = "{}"
    #: The message as it was accepted.
    payload: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt failed and its run goes back to the queue.

    Attributes:
        delay_s: when the broker will deliver it, in seconds from now.
        retries: the tries after the first that are spent, this one included.
        reason: why this attempt failed.
        diagnostics: the exception's own words.
        message_queue: where the next message will be; None when none was sent.
        message_ref: the broker's own id of that message.
    """

    run_id: RunId
    attempt: int
    worker_id: WorkerId
    delay_s: float
    retries: int
    reason: Reason
    diagnostics: str = ""
    message_queue: str | None = None
    message_ref: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """The end that an attempt's worker reports."""

    run_id: RunId
    attempt: int
    worker_id: WorkerId
    outcome: Outcome
    reason: Reason | None = None
    counts: Mapping[str, Number] = field(default_factory=dict)
    failures: Sequence[Mapping[str, Any]] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: str = ""


class Recorded(StrEnum):
    """What became of a reported end."""

    MOVED = "moved"
    #: The attempt is over; the run ends with the last of its children.
    WAITING = "waiting"
    #: The same report had been recorded before.
    ALREADY = "already"
    #: The run was closed or handed on meanwhile: kept as a late result, the truth stands.
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Rejection:
    """The queue gave up on a delivery that never became an attempt."""

    run_id: RunId
    dispatch: int
    reason: Reason
    diagnostics: str = ""
    #: The worker that was given the delivery, if one was.
    worker_id: WorkerId | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reconciler concluded of one run, with the state it was concluded from.

    The state is the guard: if the run has moved since, nothing is written.

    Attributes:
        evidence: what was seen, as JSON values.
        threshold_s: the limit that was passed, in seconds, if one was.
        age_s: how long the run had been in its state, in seconds.
        charged: whether the loss counts against `max_deliveries`.
        outcome: how a run that is closed ends.
    """

    run_id: RunId
    status: Status
    attempt: int
    dispatch: int
    reason: Reason
    evidence: Mapping[str, Any]
    source: Source = Source.GENERIC
    threshold_s: float | None = None
    age_s: float | None = None
    message_ref: str | None = None
    charged: bool = False
    outcome: Outcome = Outcome.FAILED


@dataclass(frozen=True, slots=True)
class Sighting:
    """A queued run whose message was seen waiting, as it should."""

    run_id: RunId
    attempt: int
    dispatch: int
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Redispatched:
    """A run that was handed back to the queue and has to be sent."""

    run_id: RunId
    dispatch: int
    payload: str
    retries: int
    delay_ms: int
