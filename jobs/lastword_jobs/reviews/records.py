"""Evidence snapshots, the reviews that are made of them, and the packs that are handed over."""

from __future__ import annotations

from enum import StrEnum

from peewee import (
    SQL,
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    IntegerField,
    Model,
)

from lastword.service.audit import Actor, ActorKind
from lastword.service.tenants import audit_on_tenant
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger


class EvidenceStatus(StrEnum):
    """How an evidence snapshot stands. One of a tenant is active; it is never changed."""

    GENERATING = "generating"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    FAILED = "failed"


class ReviewStatus(StrEnum):
    """How a review stands. A published one is never changed."""

    DRAFT = "draft"
    READY = "ready"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    ARCHIVED = "archived"
    FAILED = "failed"


class PackStatus(StrEnum):
    """How a pack stands."""

    GENERATING = "generating"
    READY = "ready"
    EXPIRED = "expired"
    FAILED = "failed"


class EvidenceSnapshot(Model):
    """What was known of a tenant at a moment."""

    id = CharField(max_length=64, primary_key=True)
    tenant_id = CharField(max_length=64)
    run_id = CharField(max_length=64)
    status = CharField(max_length=20)
    #: `complete`, `partial`, `missing` or `stale`.
    completeness = CharField(max_length=20, null=True)
    fingerprint = CharField(max_length=64, null=True)
    created_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)
    expires_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_evidence_snapshot"


class EvidenceItem(Model):
    """One dimension of a snapshot."""

    snapshot_id = CharField(max_length=64)
    dimension = CharField(max_length=50)
    required = BooleanField()
    #: `records`, `ledger` or `provider`.
    source_kind = CharField(max_length=20)
    #: `present`, `stale` or `missing`.
    status = CharField(max_length=20)
    reason = CharField(max_length=64, null=True)
    measured_at = BigIntegerField(null=True)
    payload = JsonText()
    fingerprint = CharField(max_length=64)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_evidence_item"
        primary_key = CompositeKey("snapshot_id", "dimension")


class Review(Model):
    """What an evidence snapshot says, in sections that people read."""

    id = CharField(max_length=64, primary_key=True)
    tenant_id = CharField(max_length=64)
    evidence_id = CharField(max_length=64)
    run_id = CharField(max_length=64)
    status = CharField(max_length=20)
    fingerprint = CharField(max_length=64, null=True)
    created_at = BigIntegerField()
    published_at = BigIntegerField(null=True)
    published_by = CharField(max_length=200, null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_review"


class ReviewSection(Model):
    """One section of a review."""

    review_id = CharField(max_length=64)
    position = IntegerField()
    key = CharField(max_length=50)
    title = CharField(max_length=200)
    body = JsonText()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_review_section"
        primary_key = CompositeKey("review_id", "position")


class Pack(Model):
    """A review as one file."""

    id = CharField(max_length=64, primary_key=True)
    tenant_id = CharField(max_length=64)
    review_id = CharField(max_length=64)
    run_id = CharField(max_length=64)
    status = CharField(max_length=20)
    fingerprint = CharField(max_length=64)
    file_name = CharField(max_length=200, null=True)
    sha256 = CharField(max_length=64, null=True)
    bytes = BigIntegerField(null=True)
    created_at = BigIntegerField()
    expires_at = BigIntegerField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_pack"


def active_evidence(ledger: Ledger, tenant_id: str) -> EvidenceSnapshot | None:
    """The evidence of a tenant that holds now."""
    query = EvidenceSnapshot.select().where(
        (EvidenceSnapshot.tenant_id == tenant_id)
        & (EvidenceSnapshot.status == EvidenceStatus.ACTIVE)
    )
    with ledger.session():
        found: EvidenceSnapshot | None = query.first(ledger.database)
    return found


def items_of_evidence(ledger: Ledger, snapshot_id: str) -> dict[str, EvidenceItem]:
    """The dimensions of a snapshot, by name."""
    query = EvidenceItem.select().where(EvidenceItem.snapshot_id == snapshot_id)
    with ledger.session():
        return {row.dimension: row for row in query.execute(ledger.database)}


def find_review(ledger: Ledger, review_id: str) -> Review | None:
    """The review of that id."""
    with ledger.session():
        found: Review | None = Review.select().where(Review.id == review_id).first(ledger.database)
    return found


def sections_of(ledger: Ledger, review_id: str) -> list[ReviewSection]:
    """The sections of a review, in order."""
    query = (
        ReviewSection.select()
        .where(ReviewSection.review_id == review_id)
        .order_by(ReviewSection.position)
    )
    with ledger.session():
        return list(query.execute(ledger.database))


def publish_review(ledger: Ledger, review_id: str, *, by: str, actor: Actor | None = None) -> bool:
    """Publish a review that is ready; False if there is none. The one before is superseded."""
    now = SQL(ledger.dialect.now_ms)
    with ledger.transaction():
        review = find_review(ledger, review_id)
        if review is None or review.status != ReviewStatus.READY:
            return False
        Review.update(status=ReviewStatus.SUPERSEDED).where(
            (Review.tenant_id == review.tenant_id) & (Review.status == ReviewStatus.PUBLISHED)
        ).execute(ledger.database)
        moved = (
            Review.update(status=ReviewStatus.PUBLISHED, published_at=now, published_by=by)
            .where((Review.id == review_id) & (Review.status == ReviewStatus.READY))
            .execute(ledger.database)
        )
        actor = actor or Actor(ActorKind.SYSTEM, by)
        audit_on_tenant(
            ledger, actor, "review.publish", "review", review_id, tenant_id=review.tenant_id
        )
    return bool(moved)
