"""A group of truths in one transaction: starts, ends, claims, and what is accepted with an end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lastword.identity import RunId
from lastword.service import RunService
from lastword.service.values import AttemptEnd, Claim, Recorded
from lastword.storage.ledger import Ledger
from lastword_middleware.truths import Asked, Began, Ended, attempt_of, by_verb, by_worker

Verb = Callable[[Sequence[AttemptEnd]], dict[RunId, Recorded]]


@dataclass(frozen=True, slots=True)
class Recording:
    """Records through the service what the threads of one worker put to their writer."""

    ledger: Ledger
    runs: RunService

    def record(
        self, began: Sequence[Began], ended: Sequence[Ended], asked: Sequence[Asked]
    ) -> list[tuple[Asked, Claim]]:
        """Write all of it, or nothing; what became of each claim.

        Raises:
            LedgerUnavailable: the ledger does not answer; it is open whether it was written.
        """
        starts = {attempt_of(item.beginning): item for item in began}
        brief: list[tuple[Began, Ended]] = []
        others: list[Ended] = []
        for item in ended:
            start = starts.pop(attempt_of(item.end), None) if item.verb == "finish" else None
            if start:
                brief.append((start, item))
            else:
                others.append(item)
        with self.ledger.transaction():
            # All of them at once and in order: two verbs after each other could lock crosswise.
            run_ids = {
                *(item.beginning.run_id for item in began),
                *(item.end.run_id for item in ended),
                *(item.delivery.run_id for item in asked),
            }
            self.ledger.lock_runs(list(run_ids))
            now = time.monotonic()
            if starts:
                self.runs.begin([item.told(now) for item in starts.values()])
            recorded = {}
            if brief:
                pairs = [(start.told(now), item.end) for start, item in brief]
                recorded = self.runs.begin_and_finish(pairs)
            for name, items in by_verb(others):
                verb: Verb = getattr(self.runs, name)
                recorded.update(verb([item.end for item in items]))
            self._follow_up(ended, recorded)
            return self._claimed(asked)

    def _claimed(self, asked: Sequence[Asked]) -> list[tuple[Asked, Claim]]:
        claims: list[tuple[Asked, Claim]] = []
        for worker_id, items in by_worker(asked):
            deliveries = [item.delivery for item in items]
            claims += zip(items, self.runs.claim(deliveries, worker_id=worker_id), strict=True)
        return claims

    def _follow_up(self, ended: Sequence[Ended], recorded: Mapping[RunId, Recorded]) -> None:
        follow_ups = [
            item.follow_up
            for item in ended
            if item.follow_up and recorded.get(item.end.run_id) is Recorded.MOVED
        ]
        if follow_ups:
            self.runs.accept(follow_ups)
