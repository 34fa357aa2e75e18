"""Comparing a tenant with a baseline: evidence first, then verdicts, then findings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.legitimacy import Asked
from lastword.reasons import Blocked, PermanentFailure, Reason
from lastword.service.requests import Denial
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.capturing import in_mode
from lastword_jobs.baselines.findings import Findings, Recorded
from lastword_jobs.baselines.records import (
    BaselineItem,
    BaselineSnapshot,
    SnapshotStatus,
    find_profile,
    find_snapshot,
)
from lastword_jobs.baselines.subjects import subjects_of
from lastword_jobs.baselines.verdicts import Change, Comparison, Wanted, compare
from lastword_jobs.checkpoints import Listing
from lastword_jobs.collecting.collecting import Collecting, note_gaps
from lastword_jobs.collecting.records import collected_of
from lastword_jobs.content.documents import Content
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.scopes import contracts_of

#: Subjects of evidence gaps that are kept by name.
MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class Compare:
    """One run's comparison.

    Args:
        run: the run; its tenant is what is compared.
        graph: the tenant's provider.
        records: where everything is kept.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger

    def compare(self, profile_id: str, snapshot_id: str | None = None) -> None:
        """Compare with the active snapshot of a profile, and record what is found.

        Raises:
            Blocked: the snapshot is not, or not any more, one to compare with.
            PermanentFailure: nothing of the tenant could be compared.
            RunFailure: the provider failed.
        """
        snapshot = comparable(self.records, profile_id, snapshot_id, self.run.workspace_id)
        if isinstance(snapshot, Denial):
            raise Blocked(snapshot.reason, snapshot.message)
        contracts = in_mode(contracts_of(snapshot.types), snapshot.mode)
        owner_id = self.run.run_id
        done = Collecting(self.run, self.graph, self.records, owner_id).collect(contracts)
        collected = collected_of(self.records, owner_id)
        note_gaps(self.run, done, collected)
        covered = frozenset(type_ for type_, item in done.items() if item.state is Listing.LISTED)
        wanted = wanted_of(self.records, snapshot.id)
        comparison = compare(
            wanted,
            subjects_of(self.records, collected),
            covered=covered,
            is_same_tenant=snapshot.source_tenant_id == self.graph.tenant_id,
        )
        findings = Findings(
            *(self.records, self.graph.tenant_id, self.run.workspace_id, snapshot, owner_id)
        )
        recorded = findings.record(comparison, covered=covered)
        self._tell(
            snapshot, comparison, recorded, coverage={t: str(d.state) for t, d in done.items()}
        )
        if not comparison.judged:
            raise PermanentFailure(
                Reason.INVALID_STATE, "Nothing of the tenant could be compared with the baseline."
            )

    def _tell(
        self,
        snapshot: BaselineSnapshot,
        comparison: Comparison,
        recorded: Recorded,
        *,
        coverage: Mapping[str, str],
    ) -> None:
        gaps, total = comparison.gaps, len(comparison.gaps) + len(comparison.judged)
        changes = Counter(drift.change for drift in comparison.drifts)
        self.run.progress(
            total=total,
            processed=total,
            succeeded=len(comparison.judged),
            failed=len(gaps),
            skipped=0,
            findings=len(comparison.drifts),
            drifted=changes[Change.DIFFERENT],
            missing=changes[Change.MISSING],
            unexpected=changes[Change.UNEXPECTED],
            created=recorded.created,
            updated=recorded.updated,
            resolved=recorded.resolved,
        )
        self._tell_gaps(snapshot, comparison, coverage)

    def _tell_gaps(
        self, snapshot: BaselineSnapshot, comparison: Comparison, coverage: Mapping[str, str]
    ) -> None:
        gaps = comparison.gaps
        by_reason = Counter(gaps.values())
        for gap, count in sorted(by_reason.items()):
            message = f"{count} subjects could not be judged: {gap}."
            self.run.note_failure(Reason.EXECUTION_PREREQUISITE_INVALID, message)
        self.run.remember(
            baseline_compare={
                "snapshot_id": snapshot.id,
                "fidelity": snapshot.mode,
                "subjects_total": len(gaps) + len(comparison.judged),
                "coverage": coverage,
                "reason_code": _reason_code(comparison),
                "evidence_gaps": {
                    "count": len(gaps),
                    "by_reason": dict(by_reason),
                    "subjects": sorted(gaps)[:MOST_NAMED],
                },
            }
        )


def comparable(
    ledger: Ledger, profile_id: str, snapshot_id: str | None, workspace_id: str | None
) -> BaselineSnapshot | Denial:
    """The snapshot to compare with, or why there is none."""
    profile = find_profile(ledger, profile_id)
    if profile is None or profile.workspace_id != workspace_id:
        return _denied("There is no such profile.")
    if profile.active_snapshot_id is None:
        return _denied("The profile has no complete snapshot yet: capture one first.")
    if snapshot_id not in (None, profile.active_snapshot_id):
        return _denied("Another snapshot has taken the place of the one that was asked for.")
    snapshot = find_snapshot(ledger, profile.active_snapshot_id)
    if snapshot is None or snapshot.status != SnapshotStatus.COMPLETE:
        return _denied("The snapshot is not complete.")
    return snapshot


def require_comparable(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
    """The preflight of a comparison."""
    del config
    found = comparable(
        ledger,
        str(asked.inputs.get("profile_id")),
        asked.inputs.get("snapshot_id"),
        asked.workspace_id,
    )
    return found if isinstance(found, Denial) else None


def wanted_of(ledger: Ledger, snapshot_id: str) -> dict[str, Wanted]:
    """The subjects of a snapshot, by key."""
    query = BaselineItem.select().where(BaselineItem.snapshot_id == snapshot_id)
    with ledger.session():
        rows = list(query.execute(ledger.database))
    return {
        row.subject_key: Wanted(
            row.subject_key,
            row.type,
            row.name,
            Content.from_document(json.loads(row.content)),
            row.copies,
        )
        for row in rows
    }


def _reason_code(comparison: Comparison) -> str:
    if comparison.drifts:
        return "drift_found"
    if comparison.gaps:
        return "no_drift_in_what_was_covered"
    return "no_drift" if comparison.judged else "no_subjects"


def _denied(message: str) -> Denial:
    return Denial(Reason.EXECUTION_PREREQUISITE_INVALID, message)
