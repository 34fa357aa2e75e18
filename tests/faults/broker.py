"""A broker that can lose everything: what a reconciler sees of messages is whatever a test says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lastword.application import Letter
from lastword.identity import RunId
from lastword.service.values import Delivery, Redispatched
from lastword_scheduler.probe import MessageEvidence, MessageState, Whereabouts


@dataclass(slots=True)
class AnyBroker:
    """Both ends of a broker as a reconciler knows it; see `Probe` and `Dispatcher`.

    Attributes:
        state: where every message seems to be.
        sent: the deliveries that it was given.
    """

    state: MessageState = MessageState.GONE
    sent: list[Delivery] = field(default_factory=list)

    def look(self, messages: Sequence[Whereabouts]) -> Mapping[RunId, MessageEvidence]:
        return {message.run_id: MessageEvidence(self.state) for message in messages}

    def release(self, *, queue: str, holder: str, refs: Sequence[str]) -> int:
        raise AssertionError("nothing is told to be in the hold of a dead worker")

    def compose(
        self, operation: str, asked: Sequence[tuple[RunId, Mapping[str, Any]]], *, delay_ms: int = 0
    ) -> list[Letter]:
        raise AssertionError("a reconciler sends what the ledger holds")

    def template(self, operation: str, run_id: RunId, inputs: Mapping[str, Any]) -> Letter:
        raise AssertionError("a reconciler sends what the ledger holds")

    def post(self, letters: Sequence[Letter], *, delay_ms: int = 0) -> None:
        raise AssertionError("a reconciler sends what the ledger holds")

    def send_all(self, runs: Sequence[Redispatched]) -> None:
        for run in runs:
            self.sent.append(Delivery(RunId(json.loads(run.payload)["run"]), run.dispatch))
