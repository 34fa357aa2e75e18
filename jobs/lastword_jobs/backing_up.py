"""Backing up: everything that a restore needs, whole, into one set for each slot of a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import SQL

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.errors import ConfigError
from lastword.reasons import PermanentFailure, Reason
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import BackupSet, RecordStatus, begin_backup_set, end_record
from lastword_jobs.collecting.collecting import Collecting, note_gaps
from lastword_jobs.collecting.records import collected_of
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import ALL_TYPES, Contract
from lastword_jobs.graph.exchanges import Json
from lastword_jobs.provider.sealing import Sealer
from lastword_jobs.records import Policy, mark_missing, upsert
from lastword_jobs.scopes import contracts_of

#: Sets of a schedule that are kept where nobody says otherwise.
USUALLY_KEPT = 30


@dataclass(frozen=True, slots=True)
class Backup:
    """One run's backup of one tenant.

    Args:
        run: the run; a schedule's has its slot in its context.
        graph: the tenant's provider.
        records: where everything is kept.
        config: holds the key that hidden values are sealed with.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger
    config: Config

    def back_up(self, types: Sequence[str] | None, *, keep: int | None = None) -> str:
        """Collect everything of these types into the set of this run's slot; the set's id.

        An attempt that was lost is gone on with: what it took is in the set already.

        Raises:
            PermanentFailure: nothing could be backed up.
            RunFailure: the provider failed.
        """
        contracts = contracts_of(types or ALL_TYPES)
        schedule_id = self.run.context.get("schedule_id")
        set_id = begin_backup_set(
            self.records,
            run_id=self.run.run_id,
            tenant_id=self.graph.tenant_id,
            schedule_id=schedule_id,
            slot=self.run.context.get("slot"),
            types=[contract.type for contract in contracts],
        )
        self.run.remember(backup_set_id=set_id)
        sealer = self._sealer()
        collecting = Collecting(
            self.run,
            self.graph,
            self.records,
            set_id,
            seal=sealer.seal if sealer else None,
            on_page=self._note_policies,
            on_end=self._note_missing,
        )
        done = collecting.collect(contracts)
        collected = collected_of(self.records, set_id)
        note_gaps(self.run, done, collected)
        if sealer is None:
            self.run.remember(secrets="left out: there is no secret_key to seal them with")
        self._end(set_id)
        if schedule_id is not None:
            retire(self.records, schedule_id, keep=keep or USUALLY_KEPT)
        return set_id

    def _end(self, set_id: str) -> None:
        counts = self.run.counts
        if not counts.get("succeeded"):
            reason = Reason.INVALID_STATE
            end_record(self.records, BackupSet, set_id, Outcome.FAILED, reason=reason)
            raise PermanentFailure(reason, "Nothing of the tenant could be backed up.")
        failures = self.run.failures
        reason_of_part = Reason(failures[0]["code"]) if failures else None
        end_record(
            self.records,
            BackupSet,
            set_id,
            self.run.outcome,
            reason=reason_of_part,
            counts=counts,
        )

    def _sealer(self) -> Sealer | None:
        try:
            return Sealer.of(self.config)
        except ConfigError:
            return None

    def _note_policies(self, contract: Contract, entities: Sequence[Json]) -> None:
        # What a policy sync would do: the same pages tell what there is.
        if contract.is_policy:
            upsert(
                self.records,
                Policy,
                entities,
                contract=contract,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
            )

    def _note_missing(self, contract: Contract, since_ms: int) -> None:
        if contract.is_policy:
            mark_missing(
                self.records,
                contract=contract,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
                since_ms=since_ms,
            )


def retire(ledger: Ledger, schedule_id: str, *, keep: int) -> int:
    """Keep the last sets of a schedule that can be restored; how many were one too many."""
    usable = (RecordStatus.SUCCEEDED, RecordStatus.PARTIALLY_SUCCEEDED)
    with ledger.transaction():
        query = (
            BackupSet.select(BackupSet.id)
            .where(
                (BackupSet.schedule_id == schedule_id)
                & BackupSet.status.in_(usable)
                & BackupSet.deleted_at.is_null()
            )
            .order_by(BackupSet.created_at.desc(), BackupSet.id.desc())
        )
        old = [row.id for row in query.execute(ledger.database)][max(keep, 1) :]
        if not old:
            return 0
        retired = BackupSet.update(deleted_at=SQL(ledger.dialect.now_ms)).where(
            BackupSet.id.in_(old)
        )
        return int(retired.execute(ledger.database))
