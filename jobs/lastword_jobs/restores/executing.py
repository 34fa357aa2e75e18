"""Executing a restore: the one operation that writes to a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.legitimacy import Asked
from lastword.reasons import Blocked, PermanentFailure, Reason
from lastword.service.requests import Denial
from lastword.states import Outcome
from lastword.storage.ledger import Ledger
from lastword_jobs.backups import BackupSet, RecordStatus, Restore, begin_restore, end_record
from lastword_jobs.collecting.naming import Naming
from lastword_jobs.content.restoring import References
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused, Unreachable
from lastword_jobs.restores.planning import Planner, fingerprint_of, report_of
from lastword_jobs.restores.records import (
    DONE,
    Decision,
    RestoreItem,
    State,
    find_restore,
    items_of,
    move_item,
    tally_of,
)
from lastword_jobs.restores.sources import Source, sources_of
from lastword_jobs.restores.targets import Targets, references_of
from lastword_jobs.restores.writing import ItemWriter, Uncertain

#: Items in a row that the provider did not answer before it is taken to be away.
MOST_UNANSWERED = 3

#: Decisions by which nothing is written.
_SETTLED = {
    Decision.UNCHANGED: State.VERIFIED,
    Decision.MAPPED: State.VERIFIED,
    Decision.PREVIEW_ONLY: State.SKIPPED,
    Decision.AMBIGUOUS: State.NEEDS_REVIEW,
}


@dataclass(frozen=True, slots=True)
class Restoring:
    """One run's restore.

    Args:
        run: the run; its tenant is the target.
        graph: the target.
        records: where everything is kept.
        config: opens what was sealed.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger
    config: Config

    def preview(self, restore_id: str) -> None:
        """Decide for each item what would be done, and keep that for somebody to look at.

        Raises:
            Blocked: there is no such restore that waits for its preview.
            RunFailure: the provider failed.
        """
        restore = self._found(restore_id)
        if restore.status != RecordStatus.PREVIEWED or restore.continues:
            raise _blocked("The restore is under way, or over, or goes on with another one.")
        planner, sources = self._planner(restore), self._sources(restore)
        planned = planner.plan(sources)
        planner.keep(planned)
        report = report_of(planned)
        total = len(planned)
        self.run.progress(total=total, processed=total, succeeded=total, failed=0, skipped=0)
        self.run.remember(restore={"id": restore_id, "preview": report, "writes": False})

    def execute(self, restore_id: str, fingerprint: str) -> None:
        """Write back what was previewed and confirmed; refuse if it is not that any more.

        Raises:
            Blocked: it was not confirmed, or the target has changed since: nothing was written.
            PermanentFailure: nothing could be written.
            RunFailure: the provider failed.
        """
        restore = self._found(restore_id)
        sources = self._sources(restore)
        if restore.run_id != self.run.run_id:
            self._begin(restore, fingerprint, sources)
        self.run.remember(restore={"id": restore_id, "preview": fingerprint, "writes": True})
        items = items_of(self.records, restore_id)
        by_key = {(s.captured.type, s.captured.external_id): s for s in sources}
        try:
            self._write_all(restore, items, by_key)
        finally:
            self._count(items)
        self._end(restore, items)

    def _begin(self, restore: Restore, fingerprint: str, sources: Sequence[Source]) -> None:
        denied = unready(restore, fingerprint)
        if denied is not None:
            raise Blocked(denied.reason, denied.message)
        # One that goes on with another has changed the target itself: its items say how far.
        if not restore.continues:
            planned = self._planner(restore).plan(sources)
            if fingerprint_of(planned) != fingerprint:
                raise _blocked("The tenant has changed since the preview: preview it again.")
        if not begin_restore(self.records, restore.id, run_id=self.run.run_id):
            raise _blocked("Another run has begun with this restore.")

    def _write_all(
        self,
        restore: Restore,
        items: Sequence[RestoreItem],
        sources: dict[tuple[str, str], Source],
    ) -> None:
        targets = Targets.read(self.graph, ())
        source_tenant = self._source_tenant(restore)
        naming = Naming(self.graph, self.records)
        taken = {str(item.target_id) for item in items if item.target_id}
        writer = ItemWriter(self.graph, self.records, naming, taken)
        unanswered = 0
        for item in items:
            if item.state in DONE or self._settled(item):
                continue
            source = sources[item.type, item.source_id]
            references = references_of(
                self.records,
                [source.captured],
                targets=targets,
                items=items,
                source_tenant=source_tenant,
                target_tenant=self.graph.tenant_id,
                mapping=restore.mapping or {},
            )
            unanswered = 0 if self._one(writer, item, source, references) else unanswered + 1
            if unanswered == MOST_UNANSWERED:
                raise Unreachable("The provider does not answer any more.")
            self._count(items)

    def _settled(self, item: RestoreItem) -> bool:
        # By its decision: nothing is written.
        state = _SETTLED.get(Decision(item.decision))
        if state is None:
            return False
        message = _SAID.get(Decision(item.decision), "")
        move_item(self.records, item, state, message=message)
        return True

    def _one(
        self, writer: ItemWriter, item: RestoreItem, source: Source, references: References
    ) -> bool:
        # False if the provider did not answer.
        try:
            writer.write(item, source, references)
        except Uncertain as error:
            move_item(
                self.records, item, State.NEEDS_REVIEW, reason=error.reason, message=error.message
            )
        except (RequestRefused, PermissionDenied, Unreachable) as error:
            move_item(self.records, item, State.FAILED, reason=error.reason, message=error.message)
            return not isinstance(error, Unreachable)
        return True

    def _count(self, items: Sequence[RestoreItem]) -> None:
        traffic = self.graph.traffic
        counts = {"throttled": traffic.throttled, "retried": traffic.retried}
        self.run.progress(**tally_of(items), **counts)

    def _end(self, restore: Restore, items: Sequence[RestoreItem]) -> None:
        for item in items:
            if item.state in (State.FAILED, State.NEEDS_REVIEW):
                reason = Reason(item.reason or Reason.EXECUTION_PREREQUISITE_INVALID)
                self.run.note_failure(reason, f"{item.type} {item.name}: {item.message}")
            elif item.state == State.VERIFIED and item.assignments.get("unmapped"):
                message = f"{item.type} {item.name}: left out {item.assignments['unmapped']}."
                self.run.note_failure(Reason.EXECUTION_PREREQUISITE_INVALID, message)
        counts = tally_of(items)
        nothing = not counts["succeeded"] and counts["failed"] > 0
        outcome = Outcome.FAILED if nothing else self.run.outcome
        failures = self.run.failures
        reason_of_end = Reason(failures[0]["code"]) if failures else None
        end_record(
            *(self.records, Restore, restore.id, outcome), reason=reason_of_end, counts=counts
        )
        if nothing:
            raise PermanentFailure(
                reason_of_end or Reason.UNKNOWN_ERROR, "Nothing could be written back."
            )

    def _found(self, restore_id: str) -> Restore:
        restore = find_restore(self.records, restore_id)
        if restore is None or restore.tenant_id != self.graph.tenant_id:
            raise _blocked("There is no such restore of this tenant.")
        return restore

    def _sources(self, restore: Restore) -> list[Source]:
        return sources_of(self.records, self.config, restore.backup_set_id, restore.selection)

    def _planner(self, restore: Restore) -> Planner:
        return Planner(self.graph, self.records, restore, self._source_tenant(restore))

    def _source_tenant(self, restore: Restore) -> str:
        query = BackupSet.select().where(BackupSet.id == restore.backup_set_id)
        with self.records.session():
            found = query.get(self.records.database)
        return str(found.tenant_id)


_SAID = {
    Decision.PREVIEW_ONLY: "Its type is never written.",
    Decision.AMBIGUOUS: "Several objects of the tenant have its name.",
}


def unready(restore: Restore | None, fingerprint: object) -> Denial | None:
    """Why a restore may not be executed; None if it may."""
    if restore is None:
        return _denied("There is no such restore.")
    if restore.status != RecordStatus.PREVIEWED:
        return _denied("The restore was begun before; one that goes on with it has its own id.")
    if restore.fingerprint is None or restore.fingerprint != fingerprint:
        return _denied("What was asked for is not what was previewed.")
    return _denied("Nobody has confirmed the preview.") if restore.confirmed_at is None else None


def require_ready(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
    """The preflight of a restore."""
    del config
    restore = find_restore(ledger, str(asked.inputs.get("restore_id")))
    if restore is not None and restore.tenant_id != asked.tenant_id:
        restore = None
    if asked.inputs.get("dry_run") is True:
        return None if restore is not None else _denied("There is no such restore.")
    if restore is not None and restore.run_id is not None and restore.run_id == asked.run_id:
        # It had to wait, and goes on.
        return None
    return unready(restore, asked.inputs.get("fingerprint"))


def _denied(message: str) -> Denial:
    return Denial(Reason.EXECUTION_PREREQUISITE_INVALID, message)


def _blocked(message: str) -> Blocked:
    return Blocked(Reason.EXECUTION_PREREQUISITE_INVALID, message)
