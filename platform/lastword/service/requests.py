"""A request for a run and its answer: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lastword.identity import RunId
from lastword.policy import Policy
from lastword.reasons import Reason


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a run may not be done, before anything was.

    Attributes:
        reason: the code.
        message: an operator-safe sentence about this run.
        next_steps: what may help, each with a `label` and perhaps a `url`.
    """

    reason: Reason
    message: str
    next_steps: Sequence[Mapping[str, str]] = ()


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
        scope_key: at most one active run may hold it; None never collides.
        denial: why it is refused; None if it may be accepted.
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
    scope_key: str | None = None
    denial: Denial | None = None


class Acceptance(StrEnum):
    """What became of a request."""

    ACCEPTED = "accepted"
    #: An active run of the same identity, or this very run, was there already.
    DEDUPED = "deduped"
    #: Another active run works on the same scope, and this one may not run beside it.
    SCOPE_BUSY = "scope_busy"
    #: Refused before any effect; the run is there, completed, and says why.
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run that answers a request: the new one, or the one that was there."""

    run_id: RunId
    result: Acceptance
