"""Reviews of a tenant: evidence, what is composed of it, what is published and packed."""

from __future__ import annotations

from starlette.responses import Response

from lastword.access import Capability
from lastword.errors import InvalidInputs
from lastword.web.asking import Asked
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword.web.starts import start_here
from lastword_jobs.reviews.records import (
    EvidenceItem,
    EvidenceSnapshot,
    Pack,
    PackStatus,
    Review,
    ReviewStatus,
    active_evidence,
    items_of_evidence,
    publish_review,
    sections_of,
)
from lastword_jobs.web.lists import find_here, latest, path_of

_USABLE = (ReviewStatus.READY, ReviewStatus.PUBLISHED)


def reviews(asked: Asked) -> Response:
    """The page of the reviews."""
    ledger, tenant_id = asked.ledger, asked.here.tenant_id
    evidence = active_evidence(ledger, tenant_id)
    return tenant_page(
        asked,
        "reviews.html",
        snapshots=latest(
            ledger,
            EvidenceSnapshot,
            tenant_id,
            order=[EvidenceSnapshot.created_at.desc(), EvidenceSnapshot.id.desc()],
            limit=10,
        ),
        dimensions=_dimensions(asked, evidence),
        reviews=latest(
            ledger, Review, tenant_id, order=[Review.created_at.desc(), Review.id.desc()]
        ),
        packs=latest(ledger, Pack, tenant_id, order=[Pack.created_at.desc(), Pack.id.desc()]),
    )


def review(asked: Asked) -> Response:
    """One review, section by section."""
    found = find_here(asked, Review, str(asked.path["review"]))
    return tenant_page(
        asked, "review.html", review=found, sections=sections_of(asked.ledger, found["id"])
    )


def generate_evidence(asked: Asked) -> Response:
    """Gather what is known of the tenant now."""
    asked.form.only(set())
    back = path_of(asked, "reviews")
    return start_here(asked, "tenant.evidence.snapshot.generate", {}, back=back)


def compose(asked: Asked) -> Response:
    """Compose a review of the evidence that holds; the one that there is, if there is one."""
    asked.form.only(set())
    evidence = active_evidence(asked.ledger, asked.here.tenant_id)
    if evidence is not None:
        of_it = (Review.evidence_id == evidence.id) & Review.status.in_(_USABLE)
        there = _newest(asked, of_it)
        if there is not None:
            back = path_of(asked, "reviews")
            return asked.go(back, notice="available", run=there["run_id"])
    return start_here(asked, "tenant.review.compose", {}, back=path_of(asked, "reviews"))


def publish(asked: Asked) -> Response:
    """Publish a review; from then on it stays as it is."""
    asked.form.only(set())
    found = find_here(asked, Review, str(asked.path["review"]))
    by = asked.person.user_id
    if not publish_review(asked.ledger, found["id"], by=by, actor=asked.actor):
        raise InvalidInputs(f"review {found['id']!r} is {found['status']}", expected="one ready")
    return asked.go(path_of(asked, "reviews"))


def pack(asked: Asked) -> Response:
    """Pack a review into one file; the one that there is, if it is whole."""
    asked.form.only(set())
    found = find_here(asked, Review, str(asked.path["review"]))
    back = path_of(asked, "reviews")
    ready = (Pack.review_id == found["id"]) & (Pack.status == PackStatus.READY)
    order = [Pack.created_at.desc()]
    there = latest(asked.ledger, Pack, asked.here.tenant_id, order=order, where=ready, limit=1)
    if there:
        return asked.go(back, notice="available", run=there[0]["run_id"])
    inputs = {"review_id": found["id"]}
    return start_here(asked, "tenant.review_pack.generate", inputs, back=back)


def _newest(asked: Asked, where: object) -> dict[str, str] | None:
    order = [Review.created_at.desc()]
    found = latest(asked.ledger, Review, asked.here.tenant_id, order=order, where=where, limit=1)
    return found[0] if found else None


def _dimensions(asked: Asked, evidence: EvidenceSnapshot | None) -> list[EvidenceItem]:
    if evidence is None:
        return []
    items = items_of_evidence(asked.ledger, evidence.id)
    return [items[name] for name in sorted(items)]


_ONE = "/admin/t/{tenant}/reviews/{review}"

ENTRIES = (
    Entry("/admin/t/{tenant}/reviews", reviews),
    Entry("/admin/t/{tenant}/reviews/evidence", generate_evidence, "POST", Capability.EVIDENCE),
    Entry("/admin/t/{tenant}/reviews/compose", compose, "POST", Capability.REVIEW),
    Entry(_ONE, review),
    Entry(f"{_ONE}/publish", publish, "POST", Capability.REVIEW_PUBLISH),
    Entry(f"{_ONE}/pack", pack, "POST", Capability.REVIEW),
)
