"""The two syncs: list what the provider has, page by page, and record it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastword.current import CurrentRun
from lastword.reasons import Blocked, PermanentFailure, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.checkpoints import Checkpoint, Listing, checkpoints_of, damaged, keep_checkpoint
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused
from lastword_jobs.records import (
    InventoryItem,
    Policy,
    mark_missing,
    moment_ms,
    readable,
    upsert,
)
from lastword_jobs.scopes import contracts_of


@dataclass(frozen=True, slots=True)
class Sync:
    """One run's sync of one tenant.

    Args:
        run: the run, to count on.
        graph: the tenant's provider.
        records: where to record what is seen.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger

    def inventory(self, types: Sequence[str]) -> None:
        """Record every object of these types; a type that is refused leaves a gap, said so.

        Raises:
            RunFailure: the provider failed, or refused every type.
        """
        self._each(types, InventoryItem)

    def policies(self, types: Sequence[str]) -> None:
        """Record every policy of these types, and mark those that are gone as missing.

        Raises:
            RunFailure: the provider failed, or refused every type.
        """
        self._each(types, Policy)

    def _each(self, types: Sequence[str], table: type[InventoryItem] | type[Policy]) -> None:
        contracts = contracts_of(types)
        self.run.progress(total=len(contracts), processed=0, succeeded=0, failed=0)
        done = checkpoints_of(self.records, self.run.run_id)
        coverage: dict[str, str] = {}
        for contract in contracts:
            before = done.get(contract.type)
            if before is not None:
                # By an earlier attempt of this run, which was lost or had to wait.
                self.run.count(**before.counts)
            checkpoint = before or self._one(contract, table)
            done[contract.type] = checkpoint
            succeeded = checkpoint.state is Listing.LISTED
            coverage[contract.type] = "succeeded" if succeeded else "failed"
            self.run.count(succeeded=int(succeeded), failed=int(not succeeded), processed=1)
            if checkpoint.reason:
                self.run.note_failure(checkpoint.reason, f"{contract.type}: {checkpoint.message}")
        self.run.remember(coverage={"types": coverage})
        self._require_some([done[contract.type] for contract in contracts])

    def _require_some(self, checkpoints: Sequence[Checkpoint]) -> None:
        if any(item.state is Listing.LISTED for item in checkpoints):
            return
        reason = checkpoints[-1].reason or Reason.UNKNOWN_ERROR
        denied = all(item.reason is Reason.PERMISSION_DENIED for item in checkpoints)
        kind = Blocked if denied and self.run.attempt == 1 else PermanentFailure
        raise kind(reason, checkpoints[-1].message)

    def _one(self, contract: Contract, table: type[InventoryItem] | type[Policy]) -> Checkpoint:
        before = self.run.counts
        try:
            checkpoint = damaged(self._pages(contract, table))
        except (PermissionDenied, RequestRefused) as error:
            checkpoint = Checkpoint(Listing.FAILED, error.reason, error.message)
        finally:
            # A run that gives up because of throttling is the one to count it on.
            traffic = self.graph.traffic
            self.run.progress(throttled=traffic.throttled, retried=traffic.retried)
        counts = {
            key: value - before.get(key, 0)
            for key, value in self.run.counts.items()
            if key not in {"throttled", "retried"} and (key not in before or value != before[key])
        }
        checkpoint = Checkpoint(checkpoint.state, checkpoint.reason, checkpoint.message, counts)
        keep_checkpoint(self.records, self.run.run_id, contract.type, checkpoint)
        return checkpoint

    def _pages(self, contract: Contract, table: type[InventoryItem] | type[Policy]) -> int:
        # How many of what was listed had to be left out.
        since_ms, left_out = moment_ms(self.records), 0
        for page in self.graph.pages(contract.listing):
            sound = readable(page.entities)
            left_out += len(page.entities) - len(sound)
            changed = upsert(
                self.records,
                table,
                sound,
                contract=contract,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
            )
            self.run.count(
                items=changed.items,
                pages=1,
                created=changed.created,
                updated=changed.updated,
                unchanged=changed.unchanged,
            )
        # Only after the last page: a listing that broke off proves nothing about what is gone.
        if table is Policy:
            missing = mark_missing(
                self.records,
                contract=contract,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
                since_ms=since_ms,
            )
            self.run.count(deleted=missing)
        return left_out
