"""Findings: what was found is recorded once, found again, accepted by people, and closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL

from lastword.identity import new_run_id
from lastword.service.audit import SYSTEM, Actor
from lastword.service.tenants import audit_on_tenant
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.records import BaselineSnapshot, Finding, hash_of
from lastword_jobs.baselines.verdicts import Comparison, Drift

#: What findings of a comparison are called.
SOURCE = "baseline.compare"

OPEN, ACCEPTED, RESOLVED = "open", "accepted", "resolved"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a comparison changed in the findings of a tenant."""

    created: int = 0
    updated: int = 0
    resolved: int = 0


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of one tenant against one snapshot.

    Args:
        records: where they are.
        tenant_id: the tenant.
        workspace_id: its workspace.
        snapshot: what it is compared with.
        run_id: who compares.
    """

    records: Ledger
    tenant_id: str
    workspace_id: str | None
    snapshot: BaselineSnapshot
    run_id: str

    def record(self, comparison: Comparison, *, covered: frozenset[str]) -> Recorded:
        """Record what was found, and close what is not found any more, in one transaction.

        A subject of which nothing could be said closes nothing.
        """
        found = {drift.recurrence_key(self.snapshot.id): drift for drift in comparison.drifts}
        created = updated = resolved = 0
        with self.records.transaction():
            before = {row.recurrence_key: row for row in self._known()}
            for key, drift in found.items():
                if key in before:
                    updated += self._again(before[key], drift)
                else:
                    self._new(key, drift)
                    created += 1
            gone = [
                row
                for key, row in before.items()
                if key not in found and self._is_over(row, comparison, covered)
            ]
            resolved = self._resolve([row.id for row in gone])
        return Recorded(created, updated, resolved)

    def _known(self) -> list[Finding]:
        query = Finding.select().where(
            (Finding.tenant_id == self.tenant_id)
            & (Finding.profile_id == self.snapshot.profile_id)
            & (Finding.source == SOURCE)
        )
        return list(query.execute(self.records.database))

    def _is_over(self, row: Finding, comparison: Comparison, covered: frozenset[str]) -> bool:
        if row.status == RESOLVED:
            return False
        if row.snapshot_id != self.snapshot.id:
            # Of a baseline that another one has taken the place of.
            return row.type in covered
        return row.detail["subject"] in comparison.judged

    def _new(self, key: str, drift: Drift) -> None:
        now = SQL(self.records.dialect.now_ms)
        Finding.insert(
            id=new_run_id(),
            workspace_id=self.workspace_id,
            tenant_id=self.tenant_id,
            profile_id=self.snapshot.profile_id,
            snapshot_id=self.snapshot.id,
            recurrence_key=key,
            source=SOURCE,
            type=drift.type,
            status=OPEN,
            first_seen_at=now,
            last_seen_at=now,
            **self._values(drift),
        ).execute(self.records.database)

    def _again(self, row: Finding, drift: Drift) -> int:
        values = self._values(drift)
        changed = row.detail_hash != values["detail_hash"]
        # What somebody accepted is accepted as it was, and not whatever becomes of it.
        reopened = row.status == RESOLVED or (row.status == ACCEPTED and changed)
        if reopened:
            values |= {"status": OPEN, "resolved_at": None, "accepted_at": None}
        now = SQL(self.records.dialect.now_ms)
        Finding.update(last_seen_at=now, **values).where(Finding.id == row.id).execute(
            self.records.database
        )
        return int(changed or reopened)

    def _values(self, drift: Drift) -> dict[str, Any]:
        detail: Mapping[str, Any] = {"subject": drift.key, "differences": list(drift.detail)}
        return {
            "kind": drift.part,
            "change": drift.change,
            "name": drift.name,
            "severity": drift.severity,
            "detail": detail,
            "detail_hash": hash_of(detail),
            "version_id": drift.version_id,
            "run_id": self.run_id,
        }

    def _resolve(self, ids: Sequence[str]) -> int:
        for id_ in ids:
            Finding.update(
                status=RESOLVED,
                resolved_at=SQL(self.records.dialect.now_ms),
                run_id=self.run_id,
            ).where(Finding.id == id_).execute(self.records.database)
        return len(ids)


def accept_finding(
    ledger: Ledger, finding_id: str, *, tenant_id: str, actor: Actor = SYSTEM
) -> bool:
    """Take a finding as it is, until it changes; False if there is none that is open."""
    with ledger.transaction():
        moved = (
            Finding.update(status=ACCEPTED, accepted_at=SQL(ledger.dialect.now_ms))
            .where(
                (Finding.id == finding_id)
                & (Finding.tenant_id == tenant_id)
                & (Finding.status == OPEN)
            )
            .execute(ledger.database)
        )
        if moved:
            audit_on_tenant(
                ledger, actor, "finding.accept", "finding", finding_id, tenant_id=tenant_id
            )
    return bool(moved)


def findings_of(ledger: Ledger, tenant_id: str, *, status: str = OPEN) -> list[Finding]:
    """The findings of a tenant, the worst kind of each policy together."""
    query = (
        Finding.select()
        .where((Finding.tenant_id == tenant_id) & (Finding.status == status))
        .order_by(Finding.type, Finding.name, Finding.kind, Finding.id)
    )
    with ledger.session():
        return list(query.execute(ledger.database))
