"""The two syncs: list what the provider has, page by page, and record it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastword.current import CurrentRun
from lastword.reasons import PermanentFailure, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import BY_TYPE, Contract
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused
from lastword_jobs.records import InventoryItem, Policy, mark_missing, moment_ms, upsert

#: Characters of an input that a failure repeats.
MOST_REPEATED = 200


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
        contracts = _contracts(types)
        self.run.progress(total=len(contracts), processed=0, succeeded=0, failed=0)
        coverage: dict[str, str] = {}
        refusal: PermanentFailure | None = None
        for contract in contracts:
            try:
                self._one(contract, table)
                coverage[contract.type] = "succeeded"
                self.run.count(succeeded=1)
            except (PermissionDenied, RequestRefused) as error:
                refusal = error
                coverage[contract.type] = "failed"
                self.run.count(failed=1)
                self.run.note_failure(error.reason, f"{contract.type}: {error.message}")
            finally:
                # A run that gives up because of throttling is the one to count it on.
                traffic = self.graph.traffic
                self.run.progress(throttled=traffic.throttled, retried=traffic.retried)
            self.run.count(processed=1)
        self.run.remember(coverage={"types": coverage})
        if refusal is not None and "succeeded" not in coverage.values():
            raise refusal

    def _one(self, contract: Contract, table: type[InventoryItem] | type[Policy]) -> None:
        since_ms = moment_ms(self.records)
        for entities in self.graph.pages(contract.version, contract.path):
            changed = upsert(
                self.records,
                table,
                entities,
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


def _contracts(types: Sequence[str]) -> list[Contract]:
    if not isinstance(types, list | tuple) or not all(isinstance(name, str) for name in types):
        raise PermanentFailure(
            Reason.EXECUTION_PREREQUISITE_INVALID,
            f"The types are {_kind(types)}; expected a list of {', '.join(BY_TYPE)}.",
        )
    unknown = [name for name in types if name not in BY_TYPE]
    if unknown:
        raise PermanentFailure(
            Reason.EXECUTION_PREREQUISITE_INVALID,
            f"Unknown types {_cut(', '.join(unknown))}; known are {', '.join(BY_TYPE)}.",
        )
    return [BY_TYPE[name] for name in types]


def _kind(value: object) -> str:
    return f"of the kind {type(value).__name__}"


def _cut(words: str) -> str:
    # What somebody sent is repeated so that it can be found, not so that it can fill the ledger.
    return words if len(words) <= MOST_REPEATED else f"{words[:MOST_REPEATED]} ..."
