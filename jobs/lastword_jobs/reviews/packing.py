"""Packing a review into one file: the same review gives the same bytes, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from lastword_jobs.records import moment_ms
from lastword_jobs.reviews.records import (
    Pack,
    PackStatus,
    Review,
    ReviewSection,
    ReviewStatus,
    find_review,
    sections_of,
)

#: The only time that a file of a pack has: that of the ZIP format's own beginning.
_EPOCH = (1980, 1, 1, 0, 0, 0)

#: Milliseconds for which a pack is kept.
HOLDS_MS = 30 * 24 * 3600 * 1000

#: The folder of packs below the data folder.
FOLDER = "packs"

#: The version of what is in a pack.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Packer:
    """One run's pack.

    Args:
        run: the run.
        records: where everything is.
        folder: where packs are kept.
    """

    run: CurrentRun
    records: Ledger
    folder: Path

    def pack(self, review_id: str | None = None) -> str:
        """Pack a review; the pack's id, of the one there is if it is the same.

        Args:
            review_id: which; the tenant's latest that is ready or published if None.

        Raises:
            Blocked: there is no such review.
        """
        assert self.run.tenant_id is not None, "an operation on a tenant"
        prune_packs(self.records, self.folder)
        # What an earlier attempt has packed is this run's, whatever has become of it since.
        review = self._packed_before() or review_for(self.records, self.run.tenant_id, review_id)
        if isinstance(review, Denial):
            raise Blocked(review.reason, review.message)
        files = files_of(review, sections_of(self.records, review.id))
        content = zipped(files)
        fingerprint = hash_of([FORMAT, review.id, review.fingerprint])
        self.run.progress(
            total=len(files),
            processed=len(files),
            succeeded=len(files),
            failed=0,
            items=len(files),
            bytes=len(content),
        )
        pack_id, reused = self._kept(review, fingerprint, content)
        self.run.remember(pack={"id": pack_id, "review_id": review.id, "reused": reused})
        return pack_id

    def _kept(self, review: Review, fingerprint: str, content: bytes) -> tuple[str, bool]:
        digest = hashlib.sha256(content).hexdigest()
        before = self._ready(review.id, fingerprint)
        if before is not None and _is_whole(self.folder / str(before.file_name), digest):
            return before.id, before.run_id != self.run.run_id
        name = f"{review.id}-{digest[:12]}.zip"
        self._write(name, content)
        now = self.records.dialect.now_ms
        values = {
            "status": PackStatus.READY,
            "file_name": name,
            "sha256": digest,
            "bytes": len(content),
            "expires_at": SQL(f"{now} + {HOLDS_MS}"),
        }
        with self.records.transaction():
            if before is not None:
                # Its file was lost, and is there again.
                Pack.update(**values).where(Pack.id == before.id).execute(self.records.database)
                return before.id, False
            pack_id = new_run_id()
            Pack.insert(
                id=pack_id,
                tenant_id=review.tenant_id,
                review_id=review.id,
                run_id=self.run.run_id,
                fingerprint=fingerprint,
                created_at=SQL(now),
                **values,
            ).execute(self.records.database)
        return pack_id, False

    def _packed_before(self) -> Review | None:
        query = Pack.select(Pack.review_id).where(Pack.run_id == self.run.run_id)
        with self.records.session():
            found = query.first(self.records.database)
        return None if found is None else find_review(self.records, found.review_id)

    def _ready(self, review_id: str, fingerprint: str) -> Pack | None:
        query = Pack.select().where(
            (Pack.review_id == review_id)
            & (Pack.fingerprint == fingerprint)
            & (Pack.status == PackStatus.READY)
        )
        with self.records.session():
            found: Pack | None = query.first(self.records.database)
        return found

    def _write(self, name: str, content: bytes) -> None:
        # In its place only when it is whole and on the disk.
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f".{name}.{self.run.run_id}.new"
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / name)


def files_of(review: Review, sections: Sequence[ReviewSection]) -> dict[str, str]:
    """The files of a pack, by name."""
    bodies = {section.key: section.body for section in sections}
    summary = bodies.get("executive_summary", {})
    metadata = {
        "format": FORMAT,
        "tenant_id": review.tenant_id,
        "review_id": review.id,
        "evidence_id": review.evidence_id,
        "fingerprint": review.fingerprint,
    }
    listed = [{"position": s.position, "key": s.key, "title": s.title} for s in sections]
    return {
        "executive-summary.md": _markdown(review, sections, summary),
        "metadata.json": _json(metadata),
        "summary.json": _json(summary),
        "sections.json": _json(listed),
        **{
            f"sections/{section.position:02d}-{section.key}.json": _json(section.body)
            for section in sections
        },
    }


def zipped(files: Mapping[str, str]) -> bytes:
    """Files as a ZIP whose bytes depend on nothing but them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name].encode())
    return buffer.getvalue()


def review_for(ledger: Ledger, tenant_id: str, review_id: str | None) -> Review | Denial:
    """The review that is packed, or why there is none."""
    usable = (ReviewStatus.READY, ReviewStatus.PUBLISHED)
    if review_id is not None:
        found = find_review(ledger, review_id)
    else:
        query = Review.select().where((Review.tenant_id == tenant_id) & Review.status.in_(usable))
        with ledger.session():
            found = query.order_by(Review.created_at.desc()).first(ledger.database)
    if found is None or found.tenant_id != tenant_id or found.status not in usable:
        message = "There is no review of the tenant that is ready: compose one first."
        step = {"label": f"Run tenant.review.compose on {tenant_id}"}
        return Denial(Reason.EXECUTION_PREREQUISITE_INVALID, message, (step,))
    return found


def require_review(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
    """The preflight of a pack."""
    del config
    found = review_for(ledger, str(asked.tenant_id), asked.inputs.get("review_id"))
    return found if isinstance(found, Denial) else None


def prune_packs(ledger: Ledger, folder: Path) -> int:
    """Remove the files of packs that have been kept long enough; how many."""
    query = Pack.select().where(
        (Pack.status == PackStatus.READY) & (Pack.expires_at < moment_ms(ledger))
    )
    with ledger.session():
        expired = list(query.execute(ledger.database))
    for pack in expired:
        with ledger.transaction():
            Pack.update(status=PackStatus.EXPIRED).where(Pack.id == pack.id).execute(
                ledger.database
            )
        (folder / str(pack.file_name)).unlink(missing_ok=True)
    return len(expired)


def _is_whole(file: Path, digest: str) -> bool:
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    return text.encode(errors="replace").decode() + "\n"


def _markdown(review: Review, sections: Sequence[ReviewSection], summary: Mapping[str, Any]) -> str:
    severities = summary.get("by_severity", {})
    lines = [
        f"# Review of {review.tenant_id}",
        "",
        f"- open risks: {summary.get('open_risks', 'not known')}",
        *(f"  - {name}: {count}" for name, count in sorted(severities.items())),
        f"- accepted risks: {summary.get('accepted_risks', 'not known')}",
        f"- not known: {', '.join(summary.get('not_known', [])) or 'nothing'}",
        "",
        *(f"{section.position}. {section.title}" for section in sections),
    ]
    return "\n".join(lines) + "\n"
