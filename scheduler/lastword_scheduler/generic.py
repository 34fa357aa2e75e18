"""The generic reconciler: looks at every active run, whatever its operation, and heals by evidence.

It needs no application code: policy and payload are in the ledger.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lastword.application import Dispatcher
from lastword.config import Config
from lastword.domains import DomainReconciler, ends_held
from lastword.errors import LedgerUnavailable
from lastword.identity import RunId
from lastword.losses import send_again
from lastword.service import RunService, WorkerService
from lastword.service.values import Sighting, Verdict
from lastword.states import Status
from lastword.storage.clock import now_ms
from lastword.storage.ledger import Ledger
from lastword_scheduler.candidates import (
    Candidate,
    find_candidates,
    known_broker_ids,
    live_broker_ids,
)
from lastword_scheduler.contact import Contact
from lastword_scheduler.probe import MessageEvidence, Probe, Whereabouts
from lastword_scheduler.reports import GivenUp, SweepReport, never
from lastword_scheduler.verdicts import Action, Decision, decide


@dataclass(frozen=True, slots=True)
class GenericReconciler:
    """Finds, judges and heals.

    Args:
        config: intervals and graces.
        ledger: where the runs are.
        probe: what can look into the broker.
        dispatcher: what sends runs again.
        contact: whether silence is the workers' or its own.
        typed: the type-specific reconcilers beside it, to whom it leaves what they can end.
    """

    config: Config
    ledger: Ledger
    probe: Probe
    dispatcher: Dispatcher
    contact: Contact
    typed: Sequence[DomainReconciler] = ()
    _skipped: set[RunId] = field(default_factory=set)
    _told: set[RunId] = field(default_factory=set)

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """Look at every active run once. Safe to run twice, and in two processes at once.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        report = SweepReport()
        self._skipped.clear()
        try:
            self._sweep(report, given_up)
        except LedgerUnavailable:
            self.contact.lost()
            raise
        finally:
            report.skipped = len(self._skipped)
        return report

    def _sweep(self, report: SweepReport, given_up: GivenUp) -> None:
        at_ms = now_ms(self.ledger)
        if self.contact.leases_tell(at_ms):
            report.lost_workers = len(WorkerService(self.ledger).lose_expired(at_ms))
        for decisions in self.decisions(self.contact.leases_tell):
            if given_up():
                break
            report.found += len(decisions)
            self._apply(decisions, report)

    def decisions(
        self, leases_tell: Callable[[int], bool] = lambda _: True
    ) -> Iterator[list[Decision]]:
        """What would be done now, and why; nothing is written.

        Args:
            leases_tell: whether a lease that had run out at a moment, in milliseconds of the
                ledger's clock, means that its worker is silent.
        """
        pages = find_candidates(
            self.ledger, message_grace_s=self.config.message_grace, skip=self._skip
        )
        for candidates in pages:
            messages = self.probe.look(
                [
                    Whereabouts(run.run_id, run.message_queue, run.message_ref)
                    for run in candidates
                    if run.status is Status.QUEUED
                ]
            )
            alive = self._alive(messages.values(), leases_tell)
            decisions = [
                self._decide(
                    run,
                    messages.get(run.run_id),
                    alive,
                    leases_tell=leases_tell(run.read_at_ms),
                )
                for run in candidates
            ]
            yield self._yielding([decision for decision in decisions if decision])

    def _yielding(self, decisions: Sequence[Decision]) -> list[Decision]:
        # The domain's own word on a run wins over all that can be seen of it from outside.
        judged = {
            decision.candidate.run_id: decision.candidate.policy
            for decision in decisions
            if decision.action in (Action.CLOSE, Action.REDISPATCH, Action.CANCEL)
        }
        held = ends_held(self.ledger, self.typed, judged)
        return [
            Decision(
                decision.candidate,
                Action.LEAVE,
                {**decision.evidence, "ended_by": held[decision.candidate.run_id]},
            )
            if decision.candidate.run_id in held
            else decision
            for decision in decisions
        ]

    def _alive(
        self, messages: Iterable[MessageEvidence], leases_tell: Callable[[int], bool]
    ) -> set[str]:
        holders = {message.holder for message in messages if message.holder}
        if not holders:
            return set()
        at_ms = now_ms(self.ledger)
        alive = live_broker_ids(self.ledger, at_ms if leases_tell(at_ms) else None)
        # A holder the ledger has never heard of is no worker of ours to judge. It is looked for
        # among all the workers there ever were, so only if it is not one of those that live.
        unsure = holders - alive
        return alive | (unsure - known_broker_ids(self.ledger, unsure))

    def _decide(
        self,
        run: Candidate,
        message: MessageEvidence | None,
        alive: set[str],
        *,
        leases_tell: bool,
    ) -> Decision | None:
        try:
            return decide(
                run,
                message,
                holder_is_alive=bool(message and message.holder in alive),
                heartbeat_interval_s=self.config.heartbeat_interval,
                leases_tell=leases_tell,
            )
        except Exception:  # noqa: BLE001 - told once, where it is skipped
            self._skip(run.run_id)
            return None

    def _skip(self, run_id: RunId) -> None:
        # One run that cannot be read or judged never stops the others, and is told of once.
        self._skipped.add(run_id)
        if run_id not in self._told:
            self._told.add(run_id)
            logging.getLogger("lastword").exception("run %s cannot be judged", run_id)

    def _apply(self, decisions: Sequence[Decision], report: SweepReport) -> None:
        by_action: dict[Action, list[Decision]] = defaultdict(list)
        for decision in decisions:
            by_action[decision.action].append(decision)
        runs = RunService(self.ledger)
        put_off = runs.put_off(_sightings(by_action[Action.PUT_OFF]))
        released = self._release(by_action[Action.RELEASE])
        closed = runs.close(_verdicts(by_action[Action.CLOSE]))
        redispatched = runs.redispatch(_verdicts(by_action[Action.REDISPATCH]))
        send_again(self.dispatcher, redispatched)
        cancelled = [
            runs.cancel([decision.candidate.run_id], by="operator")
            for decision in by_action[Action.CANCEL]
        ]
        done = {
            Action.PUT_OFF: len(put_off),
            Action.RELEASE: released,
            Action.CLOSE: len(closed),
            Action.REDISPATCH: len(redispatched),
            Action.CANCEL: len(cancelled),
        }
        report.acted.update({action: count for action, count in done.items() if count})
        report.lost_races += sum(len(by_action[action]) - count for action, count in done.items())

    def _release(self, decisions: Sequence[Decision]) -> int:
        holds: dict[tuple[str, str], list[str]] = defaultdict(list)
        for decision in decisions:
            run = decision.candidate
            assert run.message_queue is not None
            assert run.message_ref is not None
            holder = decision.evidence["message"]["holder"]
            holds[(run.message_queue, holder)].append(run.message_ref)
        return sum(
            self.probe.release(queue=queue, holder=holder, refs=refs)
            for (queue, holder), refs in holds.items()
        )


def _verdicts(decisions: Sequence[Decision]) -> list[Verdict]:
    return [
        Verdict(
            run_id=decision.candidate.run_id,
            status=decision.candidate.status,
            attempt=decision.candidate.attempt,
            dispatch=decision.candidate.dispatch,
            message_ref=decision.candidate.message_ref,
            reason=decision.reason,
            outcome=decision.outcome,
            evidence=decision.evidence,
            threshold_s=decision.threshold_s,
            age_s=decision.candidate.age_s,
            charged=decision.charged,
        )
        for decision in decisions
        if decision.reason is not None
    ]


def _sightings(decisions: Sequence[Decision]) -> list[Sighting]:
    return [
        Sighting(
            run_id=decision.candidate.run_id,
            attempt=decision.candidate.attempt,
            dispatch=decision.candidate.dispatch,
            evidence=decision.evidence,
        )
        for decision in decisions
    ]
