"""The gate before the first effect: what may not be done any more ends as blocked, unexecuted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dramatiq.broker import MessageProxy

from lastword.errors import LedgerUnavailable
from lastword.legitimacy import Asked, Gate, installed_gate
from lastword.service.requests import Denial
from lastword.service.values import Barred, Refusal, Rejection, Reservation
from lastword_middleware.claims import Claims
from lastword_middleware.tracker import Tracker


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Puts the question of the gate for what this worker is about to begin.

    Args:
        tracker: the worker.
        claims: what refuses and keeps deliveries.
        gate: what judges.
    """

    tracker: Tracker
    claims: Claims
    gate: Gate

    @classmethod
    def of(cls, tracker: Tracker, claims: Claims) -> Gatekeeper:
        """With every preflight that is installed here."""
        return cls(tracker, claims, installed_gate(tracker.config))

    def admit(self, message: MessageProxy, reservation: Reservation) -> None:
        """Let a delivery through that may be begun.

        Raises:
            DeliveryRefused: it may not, and its run has ended as blocked; or the worker stops
                before that is known.
        """
        asked = Asked(
            operation=reservation.operation,
            workspace_id=reservation.workspace_id,
            tenant_id=reservation.tenant_id,
            initiator_id=reservation.initiator_id,
            inputs=_inputs(reservation),
            run_id=reservation.run_id,
        )
        if not self.gate.concerns(asked):
            return
        try:
            denial = self._judged(asked, reservation)
        except LedgerUnavailable:
            self.claims.keep(message)
        if denial is not None:
            self.claims.refuse(message, Refusal.BLOCKED)

    def _judged(self, asked: Asked, reservation: Reservation) -> Denial | None:
        policy = self.tracker.config.policy(asked.operation)
        denial = self.tracker.persist_or_stop(
            lambda: self.gate.denial(self.tracker.ledger, asked, policy),
            what="judge",
            run_id=reservation.run_id,
        )
        if denial is None:
            return None
        self.tracker.persist_or_stop(
            lambda: self._end(reservation, denial), what="block", run_id=reservation.run_id
        )
        return denial

    def _end(self, reservation: Reservation, denial: Denial) -> None:
        run_id, dispatch = reservation.run_id, reservation.dispatch
        if reservation.attempt > 1 or reservation.probation:
            # An earlier attempt may have had effects, or one whose start nobody wrote: refused
            # before any would be a lie.
            rejection = Rejection(run_id, dispatch, denial.reason, worker_id=reservation.worker_id)
            self.tracker.runs.reject([rejection])
        else:
            self.tracker.runs.block([Barred(run_id, dispatch, reservation.worker_id, denial)])


def _inputs(reservation: Reservation) -> Mapping[str, Any]:
    if reservation.context == "{}":
        return {}
    inputs: Mapping[str, Any] = json.loads(reservation.context).get("inputs", {})
    return inputs
