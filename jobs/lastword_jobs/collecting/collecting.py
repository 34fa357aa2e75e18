"""Collecting: list what there is, read each object whole, and know at any time what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lastword.current import CurrentRun
from lastword.reasons import Blocked, PermanentFailure, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.checkpoints import Checkpoint, Listing, checkpoints_of, damaged, keep_checkpoint
from lastword_jobs.collecting.records import (
    Collected,
    Taking,
    note_listed,
    open_ids,
    tally,
)
from lastword_jobs.collecting.taking import Taker
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused
from lastword_jobs.graph.exchanges import Json
from lastword_jobs.records import moment_ms, readable

#: Objects that are read with a few batches and then kept at once.
AT_ONCE = 20

#: Is told of each page of a listing; and of the end of one, with when it had begun.
OnPage = Callable[[Contract, Sequence[Json]], None]
OnEnd = Callable[[Contract, int], None]


@dataclass(slots=True)
class Collecting:
    """Collects for an owner: a snapshot, a comparison, a backup.

    Args:
        run: the run, to count on.
        graph: the tenant's provider.
        records: where everything is kept.
        owner_id: for whom.
        seal: seals values that the provider hides; None leaves them hidden.
        on_page: is told of each page of a listing.
        on_end: is told of the end of each.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger
    owner_id: str
    seal: Callable[[str], str] | None = None
    on_page: OnPage | None = None
    on_end: OnEnd | None = None

    def collect(self, contracts: Sequence[Contract]) -> dict[str, Checkpoint]:
        """Collect every object of these types; what became of each type.

        What an earlier attempt has done is not done again.

        Raises:
            Blocked: every type was refused, and nothing was done before.
            PermanentFailure: every type was refused.
            RunFailure: the provider failed.
        """
        done = checkpoints_of(self.records, self.owner_id)
        for contract in contracts:
            if contract.type not in done:
                done[contract.type] = self._list(contract)
                keep_checkpoint(self.records, self.owner_id, contract.type, done[contract.type])
        self._require_some([done[contract.type] for contract in contracts])
        self._count()
        taker = Taker(self.run, self.graph, self.records, self.owner_id, self.seal)
        for contract in contracts:
            ids = open_ids(self.records, self.owner_id, contract.type)
            for start in range(0, len(ids), AT_ONCE):
                try:
                    taker.take(contract, ids[start : start + AT_ONCE])
                finally:
                    self._count()
        return done

    def _list(self, contract: Contract) -> Checkpoint:
        since_ms, left_out = moment_ms(self.records), 0
        try:
            for page in self.graph.pages(contract.listing):
                sound = readable(page.entities)
                left_out += len(page.entities) - len(sound)
                with self.records.transaction():
                    note_listed(self.records, self.owner_id, contract, sound)
                    if self.on_page is not None:
                        self.on_page(contract, sound)
        except (PermissionDenied, RequestRefused) as error:
            return Checkpoint(Listing.FAILED, error.reason, error.message)
        if self.on_end is not None:
            self.on_end(contract, since_ms)
        return replace(damaged(left_out), counts={"failed": left_out})

    def _require_some(self, checkpoints: Sequence[Checkpoint]) -> None:
        if any(item.state is Listing.LISTED for item in checkpoints):
            return
        self._count(failed_types=len(checkpoints))
        kind = Blocked if self.run.attempt == 1 else PermanentFailure
        raise kind(checkpoints[-1].reason or Reason.UNKNOWN_ERROR, checkpoints[-1].message)

    def _count(self, *, failed_types: int = 0) -> None:
        # From what is recorded, so that an earlier attempt's work counts, and no object twice.
        so_far = tally(self.records, self.owner_id, self.run.run_id)
        states = so_far.states
        processed = states[Taking.TAKEN] + states[Taking.SKIPPED] + states[Taking.FAILED]
        self.run.progress(
            total=states.total() + failed_types,
            processed=processed + failed_types,
            succeeded=states[Taking.TAKEN],
            skipped=states[Taking.SKIPPED],
            failed=states[Taking.FAILED] + failed_types,
            items=states[Taking.TAKEN],
            bytes=so_far.size,
            created=so_far.created,
            unchanged=states[Taking.TAKEN] - so_far.created,
            throttled=self.graph.traffic.throttled,
            retried=self.graph.traffic.retried,
            pages=self.graph.traffic.pages,
        )


def note_gaps(
    run: CurrentRun, done: Mapping[str, Checkpoint], collected: Sequence[Collected]
) -> dict[str, int]:
    """Say on a run what could not be collected; how many gaps there are, by reason.

    Taken from what is recorded, so that an attempt which goes on tells what an earlier one met. A
    type that was refused counts as one thing that failed. What was gone when it was to be read is
    no gap: there is nothing to know of it.
    """
    gaps: Counter[str] = Counter()
    for type_, checkpoint in done.items():
        if checkpoint.reason is not None:
            run.note_failure(checkpoint.reason, f"{type_}: {checkpoint.message}")
            refused = checkpoint.state is Listing.FAILED
            failed = 1 if refused else int(checkpoint.counts["failed"])
            gaps[checkpoint.reason] += failed
            run.count(total=failed, processed=failed, failed=failed)
    for item in collected:
        if item.reason is not None and item.state != Taking.SKIPPED:
            reason = Reason(item.reason)
            run.note_failure(reason, f"{item.type} {item.name}: {item.message}")
            gaps[reason] += 1
    return dict(gaps)
