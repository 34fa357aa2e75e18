"""Capturing a baseline: what a tenant is now becomes what it, or others, are meant to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from peewee import SQL

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.identity import new_run_id
from lastword.legitimacy import Asked
from lastword.reasons import Blocked, PermanentFailure, Reason
from lastword.service.requests import Denial
from lastword.storage.ledger import Ledger, as_json
from lastword_jobs.baselines.records import (
    BaselineItem,
    BaselineProfile,
    BaselineSnapshot,
    SnapshotStatus,
    find_profile,
    find_snapshot,
    hash_of,
)
from lastword_jobs.baselines.subjects import Subject, subjects_of
from lastword_jobs.collecting.collecting import Collecting, note_gaps
from lastword_jobs.collecting.records import collected_of
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.scopes import contracts_of

NO_PROFILE = "The workspace has no such baseline profile."


@dataclass(frozen=True, slots=True)
class Capture:
    """One run's capture.

    Args:
        run: the run; its tenant is the source.
        graph: the tenant's provider.
        records: where everything is kept.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger

    def capture(self, profile_id: str) -> None:
        """Take a snapshot; identical to the active one, it changes nothing.

        Raises:
            Blocked: there is no such profile in the run's workspace.
            PermanentFailure: there is nothing in scope, or nothing of it could be read.
            RunFailure: the provider failed.
        """
        profile = find_profile(self.records, profile_id)
        if profile is None or profile.workspace_id != self.run.workspace_id:
            raise Blocked(Reason.EXECUTION_PREREQUISITE_INVALID, NO_PROFILE)
        snapshot = self._begun(profile)
        contracts = in_mode(contracts_of(snapshot.types), snapshot.mode)
        done = Collecting(self.run, self.graph, self.records, snapshot.id).collect(contracts)
        collected = collected_of(self.records, snapshot.id)
        subjects = subjects_of(self.records, collected)
        gaps = note_gaps(self.run, done, collected)
        ended = self._end(profile, snapshot, subjects, gaps)
        self.run.remember(
            baseline_capture={
                "snapshot_id": ended.id,
                "status": ended.status,
                "reused": ended.id != snapshot.id,
                "subjects": len(subjects),
                "gaps": gaps,
                "ambiguous": sum(subject.copies > 1 for subject in subjects.values()),
            }
        )
        if not any(subject.contents for subject in subjects.values()):
            raise PermanentFailure(
                Reason.INVALID_STATE, "The tenant has no policy in scope that could be read."
            )

    def _begun(self, profile: BaselineProfile) -> BaselineSnapshot:
        # An earlier attempt's, if there was one: it is gone on with.
        with self.records.transaction():
            query = BaselineSnapshot.select().where(BaselineSnapshot.run_id == self.run.run_id)
            found: BaselineSnapshot | None = query.first(self.records.database)
            if found is not None:
                return found
            snapshot_id = new_run_id()
            BaselineSnapshot.insert(
                id=snapshot_id,
                profile_id=profile.id,
                source_tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
                types=profile.types,
                mode=profile.mode,
                status=SnapshotStatus.BUILDING,
                gaps={},
                created_at=SQL(self.records.dialect.now_ms),
            ).execute(self.records.database)
        begun = find_snapshot(self.records, snapshot_id)
        assert begun is not None
        return begun

    def _end(
        self,
        profile: BaselineProfile,
        snapshot: BaselineSnapshot,
        subjects: Mapping[str, Subject],
        gaps: Mapping[str, int],
    ) -> BaselineSnapshot:
        rows = [_row(snapshot.id, subject) for subject in subjects.values() if subject.contents]
        identity = hash_of(
            [snapshot.types, snapshot.mode, [[r["subject_key"], r["content_hash"]] for r in rows]]
        )
        is_whole = bool(rows) and not gaps
        with self.records.transaction():
            active = self._active(profile)
            same = is_whole and active is not None and active.identity_hash == identity
            if same:
                self._close(snapshot, SnapshotStatus.DISCARDED, identity, gaps)
                assert active is not None
                return active
            for row in rows:
                BaselineItem.insert(**row).on_conflict_ignore().execute(self.records.database)
            status = SnapshotStatus.COMPLETE if is_whole else SnapshotStatus.INCOMPLETE
            self._close(snapshot, status, identity, gaps)
            if is_whole:
                BaselineProfile.update(active_snapshot_id=snapshot.id).where(
                    BaselineProfile.id == profile.id
                ).execute(self.records.database)
        ended = find_snapshot(self.records, snapshot.id)
        assert ended is not None
        return ended

    def _active(self, profile: BaselineProfile) -> BaselineSnapshot | None:
        now = find_profile(self.records, profile.id)
        if now is None or now.active_snapshot_id is None:
            return None
        return find_snapshot(self.records, now.active_snapshot_id)

    def _close(
        self,
        snapshot: BaselineSnapshot,
        status: SnapshotStatus,
        identity: str,
        gaps: Mapping[str, int],
    ) -> None:
        BaselineSnapshot.update(
            status=status,
            identity_hash=identity,
            gaps=dict(gaps),
            ended_at=SQL(self.records.dialect.now_ms),
        ).where((BaselineSnapshot.id == snapshot.id) & BaselineSnapshot.ended_at.is_null()).execute(
            self.records.database
        )


def require_profile(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
    """The preflight of a capture."""
    del config
    profile = find_profile(ledger, str(asked.inputs.get("profile_id")))
    if profile is None or profile.workspace_id != asked.workspace_id:
        return Denial(Reason.EXECUTION_PREREQUISITE_INVALID, NO_PROFILE)
    return None


def in_mode(contracts: list[Contract], mode: str) -> list[Contract]:
    """The types with the parts that are read in this mode."""
    return [replace(item, parts=()) for item in contracts] if mode == "meta" else contracts


def _row(snapshot_id: str, subject: Subject) -> dict[str, object]:
    content = subject.contents[0]
    return {
        "snapshot_id": snapshot_id,
        "type": subject.type,
        "subject_key": subject.key,
        "name": subject.name,
        "content": as_json(content.document()),
        "content_hash": hash_of([one.fingerprint_of_all for one in subject.contents]),
        "copies": subject.copies,
    }
