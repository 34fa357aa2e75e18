"""An operation's lifecycle policy: how long each thing may take, and what follows otherwise.

Every duration is in seconds. A policy is read from a configuration table and is immutable; its
version is the hash of its content, so a run can say under which policy it was accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any

from lastword.access import Capability
from lastword.identity import canonical_json

#: Seconds a worker thread gets to end after its time limit was raised in it.
INTERRUPT_GRACE_S = 5.0

#: Dramatiq lengthens a backoff by a random factor of up to this much.
MOST_JITTER = 2

#: The longest that a run may be tried again, in seconds: a week. Dramatiq's own defaults, 20
#: retries with backoffs up to a week, take more than a month.
LONGEST_RETRIES_S = 7 * 24 * 3600.0

#: The longest backoff that Dramatiq takes, in seconds, whatever it is told.
LONGEST_BACKOFF_S = 7 * 24 * 3600.0

#: The reconciler that covers every operation.
GENERIC = "generic"


class OnLoss(StrEnum):
    """What a reconciler does with a run that lost its worker or its message."""

    FAIL = "fail"
    REDISPATCH = "redispatch"


@dataclass(frozen=True)  # No slots: it keeps its version once it is asked for.
class Policy:
    """One operation's lifecycle policy.

    Attributes:
        operation: the operation's name, e.g. `policy.sync`.
        label: what people read.
        expected_max_runtime: how long a healthy attempt takes at most.
        time_limit: when an attempt is interrupted.
        queued_stale_after: how long a queued run may go unexplained.
        running_stale_after: how long an attempt may run before it is ended from outside.
        max_queue_wait: the outer bound of waiting, backlog or not.
        max_retries: tries after the first that failed.
        min_backoff: the wait before the first retry.
        max_backoff: the longest wait before a retry.
        max_deliveries: attempts that may be lost with their worker before the run is failed.
        on_worker_lost: what follows the loss of the worker in mid-run.
        on_message_lost: what follows the loss of the message before the start.
        direct_bridge: whether the queue's own failure is carried onto the run at once.
        reconcilers: the reconcilers that cover this operation: `generic`, and any that can read the
            domain's own record of the work.
        partial_on_loss: whether an attempt that was lost after it had processed something ends its
            run as succeeded in part; only where every item stands by itself.
        manual_review: whether a run that has ended may be done again only after somebody looked:
            `lastword runs retry` refuses it.
        needs_tenant: whether a run of it works on a tenant, and cannot be started without one.
        enabled: whether this deployment offers it: `start` refuses one that is not, runs that were
            accepted before are done all the same.
        max_deferral: how long after its first start a run may still put its work off, because the
            provider asks for a long wait, say; 0: never.
        capability: what a person must be allowed to do to start it on a tenant.
        scope: runs of operations with the same scope exclude each other on a tenant; None: they
            do not.
        writes: whether it writes to the tenant, and is refused where writing is switched off.
    """

    operation: str
    label: str
    expected_max_runtime: float
    time_limit: float
    queued_stale_after: float
    running_stale_after: float
    max_queue_wait: float
    max_retries: int
    min_backoff: float
    max_backoff: float
    max_deliveries: int
    on_worker_lost: OnLoss
    on_message_lost: OnLoss
    direct_bridge: bool
    reconcilers: tuple[str, ...]
    partial_on_loss: bool = False
    manual_review: bool = False
    needs_tenant: bool = False
    enabled: bool = True
    max_deferral: float = 0.0
    capability: str = Capability.START
    scope: str | None = None
    writes: bool = False

    @property
    def longest_backoff(self) -> float:
        """The longest wait before a retry that there can be, in seconds; 0 without retries."""
        waits = _backoffs(self.max_retries, self.min_backoff, self.max_backoff)
        return max((wait for wait, _ in waits), default=0.0)

    @property
    def retries_within(self) -> float:
        """Seconds from the first start to the last end if every try fails at its limit.

        Without the waits for a free worker, each of which `max_queue_wait` bounds.
        """
        return retries_within(self.max_retries, self.time_limit, self.min_backoff, self.max_backoff)

    @property
    def terminal_truth_paths(self) -> tuple[str, ...]:
        """Who can give a run its last word.

        Its worker, the bridge that carries over the queue's own failure, the reconcilers that cover
        it, and an operator who cancels it.
        """
        bridge = ("bridge",) if self.direct_bridge else ()
        return ("worker", *bridge, *self.reconcilers, "operator")

    @property
    def may_repeat(self) -> bool:
        """Whether a run whose worker is lost may be tried again."""
        return self.on_worker_lost is OnLoss.REDISPATCH and self.max_deliveries > 1

    @property
    def truth_within(self) -> float:
        """Seconds from acceptance, or from the moment it is due, to the last word at the latest.

        As if every attempt waited as long as it may, ran into the outer bound, and every worker
        that may be lost were lost.
        """
        attempts = self.max_retries + self.max_deliveries
        waits = self.max_retries * self.max_backoff + self.max_deferral
        return attempts * (self.max_queue_wait + self.running_stale_after) + waits

    @cached_property
    def version(self) -> str:
        """The first 16 hex digits of the sha256 over the policy's content."""
        return hashlib.sha256(canonical_json(self.document()).encode()).hexdigest()[:16]

    def document(self) -> dict[str, Any]:
        """The policy as plain JSON values, as kept in the ledger."""
        return {**asdict(self), "reconcilers": list(self.reconcilers)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Policy:
        """A policy back from `document()`; keys of a newer version are left out."""
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in document.items() if key in known}
        values["on_worker_lost"] = OnLoss(values["on_worker_lost"])
        values["on_message_lost"] = OnLoss(values["on_message_lost"])
        values["reconcilers"] = tuple(values["reconcilers"])
        return cls(**values)


def retries_within(
    max_retries: int, time_limit: float, min_backoff: float, max_backoff: float
) -> float:
    """Seconds that so many tries take at most, with the waits between them; see `Policy`."""
    waits = _backoffs(max_retries, min_backoff, max_backoff)
    tries = (max_retries + 1) * (time_limit + INTERRUPT_GRACE_S)
    return tries + sum(wait * times for wait, times in waits)


def _backoffs(
    max_retries: int, min_backoff: float, max_backoff: float
) -> Iterator[tuple[float, int]]:
    # The longest that each may be, and how many times; all that is above the longest at once.
    longest = min(max_backoff, LONGEST_BACKOFF_S)
    wait = MOST_JITTER * min_backoff
    for retry in range(max_retries):
        if wait >= longest:
            yield longest, max_retries - retry
            return
        yield wait, 1
        wait *= 2
