"""Composing a review: from one evidence snapshot, locally, into sections that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import SQL

from lastword.config import Config
from lastword.current import CurrentRun
from lastword.identity import new_run_id
from lastword.legitimacy import Asked
from lastword.reasons import Blocked, Reason
from lastword.service.requests import Denial
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.records import hash_of
from lastword_jobs.reviews.records import (
    EvidenceItem,
    EvidenceSnapshot,
    EvidenceStatus,
    Review,
    ReviewSection,
    ReviewStatus,
    active_evidence,
    find_review,
    items_of_evidence,
)

Items = Mapping[str, EvidenceItem]

#: Evidence that a review may be made of: what was superseded meanwhile is still what was known.
_USABLE = (EvidenceStatus.ACTIVE, EvidenceStatus.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Composer:
    """One run's review.

    Args:
        run: the run.
        records: where everything is.
    """

    run: CurrentRun
    records: Ledger

    def compose(self, evidence_id: str | None = None, review_id: str | None = None) -> str:
        """Compose a review; its id, of the one there is if it would say the same.

        Args:
            evidence_id: of what; the tenant's active evidence if None.
            review_id: the draft to write anew; a published one is left as it is, and a new review
                takes its place.

        Raises:
            Blocked: there is no such evidence, or review, of the tenant.
        """
        assert self.run.tenant_id is not None, "an operation on a tenant"
        evidence = evidence_for(self.records, self.run.tenant_id, evidence_id)
        if isinstance(evidence, Denial):
            raise Blocked(evidence.reason, evidence.message)
        items = items_of_evidence(self.records, evidence.id)
        bodies = {key: write(items) for key, (_, write) in SECTIONS.items()}
        written = [key for key, body in bodies.items() if body is not None]
        self.run.progress(
            total=len(SECTIONS),
            processed=len(SECTIONS),
            succeeded=len(written),
            failed=0,
            skipped=len(SECTIONS) - len(written),
        )
        kept, reused = self._kept(evidence, bodies, review_id)
        for key in SECTIONS:
            if bodies[key] is None:
                message = f"Nothing is known for the section {key}."
                self.run.note_failure(Reason.EXECUTION_PREREQUISITE_INVALID, message)
        self.run.remember(review={"id": kept, "evidence_id": evidence.id, "reused": reused})
        return kept

    def _kept(
        self,
        evidence: EvidenceSnapshot,
        bodies: Mapping[str, dict[str, Any] | None],
        review_id: str | None,
    ) -> tuple[str, bool]:
        fingerprint = hash_of([evidence.fingerprint, {**bodies}])
        with self.records.transaction():
            usable = Review.status.in_((ReviewStatus.READY, ReviewStatus.PUBLISHED))
            same = Review.select().where(
                (Review.tenant_id == evidence.tenant_id)
                # Or what an earlier attempt of this run has made, whatever has changed since.
                & (
                    ((Review.fingerprint == fingerprint) & usable)
                    | (Review.run_id == self.run.run_id)
                )
            )
            found = same.order_by(Review.created_at.desc()).first(self.records.database)
            if found is not None:
                return found.id, found.run_id != self.run.run_id
            new_id = self._begun(evidence, review_id)
            for position, (key, body) in enumerate(bodies.items(), start=1):
                ReviewSection.insert(
                    review_id=new_id,
                    position=position,
                    key=key,
                    title=SECTIONS[key][0],
                    body=body if body is not None else {"known": False},
                ).execute(self.records.database)
            Review.update(status=ReviewStatus.READY, fingerprint=fingerprint).where(
                Review.id == new_id
            ).execute(self.records.database)
        return new_id, False

    def _begun(self, evidence: EvidenceSnapshot, review_id: str | None) -> str:
        if review_id is not None:
            review = find_review(self.records, review_id)
            if review is None or review.tenant_id != evidence.tenant_id:
                raise Blocked(
                    Reason.EXECUTION_PREREQUISITE_INVALID, "There is no such review of the tenant."
                )
            if review.status in (ReviewStatus.DRAFT, ReviewStatus.READY):
                Review.update(status=ReviewStatus.SUPERSEDED).where(Review.id == review_id).execute(
                    self.records.database
                )
        new_id = new_run_id()
        Review.insert(
            id=new_id,
            tenant_id=evidence.tenant_id,
            evidence_id=evidence.id,
            run_id=self.run.run_id,
            status=ReviewStatus.DRAFT,
            created_at=SQL(self.records.dialect.now_ms),
        ).execute(self.records.database)
        return new_id


def evidence_for(
    ledger: Ledger, tenant_id: str, evidence_id: str | None
) -> EvidenceSnapshot | Denial:
    """The evidence that a review is made of, or why there is none."""
    if evidence_id is None:
        found = active_evidence(ledger, tenant_id)
    else:
        query = EvidenceSnapshot.select().where(EvidenceSnapshot.id == evidence_id)
        with ledger.session():
            found = query.first(ledger.database)
    if found is None or found.tenant_id != tenant_id or found.status not in _USABLE:
        message = "There is no evidence of the tenant that holds: generate it first."
        step = {"label": f"Run tenant.evidence.snapshot.generate on {tenant_id}"}
        return Denial(Reason.EXECUTION_PREREQUISITE_INVALID, message, (step,))
    return found


def require_evidence(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
    """The preflight of a review."""
    del config
    evidence_id = asked.inputs.get("evidence_id")
    found = evidence_for(ledger, str(asked.tenant_id), evidence_id)
    return found if isinstance(found, Denial) else None


def _known(items: Items, name: str) -> dict[str, Any] | None:
    item = items.get(name)
    if item is None or item.status == "missing":
        return None
    return {"as_of": item.status, **item.payload}


def _summary(items: Items) -> dict[str, Any] | None:
    found = _known(items, "findings")
    if found is None:
        return None
    severities = Counter(risk["severity"] for risk in found["open"])
    missing = sorted(name for name, item in items.items() if item.status == "missing")
    return {
        "open_risks": len(found["open"]),
        "accepted_risks": len(found["accepted"]),
        "by_severity": dict(sorted(severities.items())),
        "not_known": missing,
    }


def _open_risks(items: Items) -> dict[str, Any] | None:
    found = _known(items, "findings")
    return None if found is None else {"risks": found["open"]}


def _accepted_risks(items: Items) -> dict[str, Any] | None:
    found = _known(items, "findings")
    return None if found is None else {"risks": found["accepted"]}


def _permissions(items: Items) -> dict[str, Any] | None:
    return _known(items, "entra_admin_roles")


def _drift(items: Items) -> dict[str, Any] | None:
    posture = _known(items, "baseline_drift_posture")
    if posture is None:
        return None
    names = ("device_compliance", "secure_score", "licences")
    more = {name: known for name in names if (known := _known(items, name)) is not None}
    return {**posture, "provider": more}


def _health(items: Items) -> dict[str, Any] | None:
    return _known(items, "operations_summary")


#: The sections in their order: what each is called, and what writes it.
SECTIONS: Mapping[str, tuple[str, Callable[[Items], dict[str, Any] | None]]] = {
    "executive_summary": ("Executive summary", _summary),
    "open_risks": ("Open risks", _open_risks),
    "accepted_risks": ("Accepted risks", _accepted_risks),
    "permission_posture": ("Permission posture", _permissions),
    "baseline_drift_posture": ("Baseline and drift posture", _drift),
    "operations_health": ("Operations health", _health),
}
