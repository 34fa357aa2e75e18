"""Generating evidence: every dimension looked at, and one snapshot that holds for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import SQL

from lastword.current import CurrentRun
from lastword.identity import new_run_id
from lastword.reasons import PermanentFailure, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.records import hash_of
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.records import moment_ms
from lastword_jobs.reviews.dimensions import DIMENSIONS, STALE_AFTER_MS, Dimension, Known, Place
from lastword_jobs.reviews.records import (
    EvidenceItem,
    EvidenceSnapshot,
    EvidenceStatus,
    active_evidence,
)

#: Milliseconds for which a snapshot holds.
HOLDS_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Looked:
    """A dimension with what is known of it."""

    dimension: Dimension
    known: Known
    status: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run's evidence of one tenant.

    Args:
        run: the run.
        graph: the provider, for what only it knows; None for what is recorded alone.
        records: where everything is.
    """

    run: CurrentRun
    graph: GraphClient | None
    records: Ledger

    def generate(self) -> str:
        """Look at every dimension; the snapshot's id, of the one there is if nothing has changed.

        Raises:
            PermanentFailure: nothing is known of the tenant.
            RunFailure: the provider asked for a longer wait.
        """
        assert self.run.tenant_id is not None, "an operation on a tenant"
        place = Place(self.records, self.run.tenant_id, self.graph)
        self.run.progress(total=len(DIMENSIONS), processed=0, succeeded=0, failed=0, skipped=0)
        looked = []
        for dimension in DIMENSIONS:
            looked.append(self._look(dimension, place))
            there = looked[-1].status != "missing"
            self.run.count(processed=1, succeeded=int(there), skipped=int(not there))
        present = [item for item in looked if item.status != "missing"]
        if not present:
            raise PermanentFailure(Reason.MISSING_CONFIGURATION, "Nothing is known of the tenant.")
        for item in looked:
            if item.dimension.required and item.status == "missing":
                reason = item.known.reason or Reason.UNKNOWN_ERROR
                message = f"Nothing is known of {item.dimension.name}: run what measures it."
                self.run.note_failure(reason, message)
        snapshot_id, reused = self._kept(place.tenant_id, looked)
        completeness = completeness_of(looked)
        self.run.remember(
            evidence={"snapshot_id": snapshot_id, "reused": reused, "completeness": completeness}
        )
        return snapshot_id

    def _look(self, dimension: Dimension, place: Place) -> Looked:
        known = dimension.look(place)
        now = moment_ms(self.records)
        status = "present"
        if known.reason is not None:
            status = "missing"
        elif known.measured_at is not None and now - known.measured_at > STALE_AFTER_MS:
            status = "stale"
        return Looked(dimension, known, status, hash_of([status, known.reason, known.payload]))

    def _kept(self, tenant_id: str, looked: Sequence[Looked]) -> tuple[str, bool]:
        fingerprint = hash_of([[item.dimension.name, item.fingerprint] for item in looked])
        with self.records.transaction():
            query = EvidenceSnapshot.select().where(EvidenceSnapshot.run_id == self.run.run_id)
            mine = query.first(self.records.database)
            if mine is not None:
                # An earlier attempt's. What it saw is what this run has seen.
                return mine.id, False
            before = active_evidence(self.records, tenant_id)
            expires_at = before.expires_at if before else None
            still_holds = expires_at is not None and expires_at > moment_ms(self.records)
            if before is not None and still_holds and before.fingerprint == fingerprint:
                return before.id, True
            if before is not None:
                ended = EvidenceStatus.SUPERSEDED if still_holds else EvidenceStatus.EXPIRED
                EvidenceSnapshot.update(status=ended).where(
                    EvidenceSnapshot.id == before.id
                ).execute(self.records.database)
            return self._added(tenant_id, fingerprint, looked), False

    def _added(self, tenant_id: str, fingerprint: str, looked: Sequence[Looked]) -> str:
        snapshot_id, now = new_run_id(), SQL(self.records.dialect.now_ms)
        EvidenceSnapshot.insert(
            id=snapshot_id,
            tenant_id=tenant_id,
            run_id=self.run.run_id,
            status=EvidenceStatus.ACTIVE,
            completeness=completeness_of(looked),
            fingerprint=fingerprint,
            created_at=now,
            ended_at=now,
            expires_at=SQL(f"{self.records.dialect.now_ms} + {HOLDS_MS}"),
        ).execute(self.records.database)
        for item in looked:
            EvidenceItem.insert(
                snapshot_id=snapshot_id,
                dimension=item.dimension.name,
                required=item.dimension.required,
                source_kind=item.dimension.source_kind,
                status=item.status,
                reason=item.known.reason,
                measured_at=item.known.measured_at,
                payload=item.known.payload,
                fingerprint=item.fingerprint,
            ).execute(self.records.database)
        return snapshot_id


def completeness_of(looked: Sequence[Looked]) -> str:
    """How whole a snapshot is, judged by the dimensions that it cannot be without."""
    required = [item.status for item in looked if item.dimension.required]
    if all(status == "present" for status in required):
        return "complete"
    if all(status == "missing" for status in required):
        return "missing"
    return "partial" if "missing" in required else "stale"
