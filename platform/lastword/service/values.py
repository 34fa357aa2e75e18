"""What callers hand to the service and what it answers: plain values, no behaviour.

What is made for every message is a named tuple, which is made in C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from lastword.counts import Number
from lastword.identity import RunId, WorkerId
from lastword.reasons import Reason
from lastword.service.requests import Denial
from lastword.states import Outcome, Source, Status


@dataclass(frozen=True, slots=True)
class Sending:
    """Where the message of a run's current dispatch is now."""

    run_id: RunId
    dispatch: int
    message_queue: str
    message_ref: str | None


class Delivery(NamedTuple):
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
    #: The gate did not let the run through; it has ended as blocked.
    BLOCKED = "blocked"


class Reservation(NamedTuple):
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
    initiator_id: str | None = None
    worker_id: WorkerId | None = None
    context: str = "{}"
    payload: str = ""
    probation: bool = False
    refusal: Refusal | None = None

    @property
    def delivery(self) -> Delivery:
        """What it answers."""
        return Delivery(self.run_id, self.dispatch)


class Beginning(NamedTuple):
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
    initiator_id: str | None = None
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
class PutOff:
    """An attempt has saved where it stands, and its run goes back to the queue for a while.

    Attributes:
        delay_s: for how long, in seconds.
        within_s: how long after its first start the run may still wait, in seconds.
        reason: why it waits.
        counts: what it has counted so far.
        context: the facts so far.
    """

    run_id: RunId
    attempt: int
    worker_id: WorkerId
    delay_s: float
    within_s: float
    reason: Reason
    counts: Mapping[str, Number] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: str = ""


@dataclass(frozen=True, slots=True)
class Barred:
    """A delivery that the gate did not let through, with the denial."""

    run_id: RunId
    dispatch: int
    worker_id: WorkerId | None
    denial: Denial


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
