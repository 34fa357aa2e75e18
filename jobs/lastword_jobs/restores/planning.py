"""Planning a restore: for each object what would be done to the target; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL

from lastword.storage.ledger import Ledger
from lastword_jobs.backups import Restore
from lastword_jobs.baselines.records import hash_of
from lastword_jobs.collecting.naming import Naming
from lastword_jobs.collecting.reading import read_whole
from lastword_jobs.collecting.versions import storable_name
from lastword_jobs.content.documents import Captured, Content, MalformedContent
from lastword_jobs.content.normalising import normalise
from lastword_jobs.content.restoring import References
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import BY_TYPE, Writing
from lastword_jobs.restores.records import Decision, RestoreItem, State
from lastword_jobs.restores.sources import Source
from lastword_jobs.restores.targets import Targets, assignments_told, references_of


@dataclass(frozen=True, slots=True)
class Planned:
    """What is to be done with one object of a set."""

    source: Source
    decision: Decision
    target_id: str | None = None
    target_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the restore of a set into a tenant.

    Args:
        graph: the target.
        records: where groups are known, and the plan is kept.
        restore: the restore.
        source_tenant: the tenant that was backed up.
    """

    graph: GraphClient
    records: Ledger
    restore: Restore
    source_tenant: str

    def plan(self, sources: Sequence[Source]) -> list[Planned]:
        """What would be done with each of these, in order.

        Raises:
            RunFailure: the provider failed, or refused to be read.
        """
        types = {source.captured.type for source in sources}
        targets = Targets.read(self.graph, types)
        same = self.source_tenant == self.restore.tenant_id
        matches = [targets.matching(source.captured, same_tenant=same) for source in sources]
        there = self._contents(
            [
                (source.captured.type, match[0])
                for source, match in zip(sources, matches, strict=True)
                if len(match) == 1 and BY_TYPE[source.captured.type].is_policy
            ]
        )
        return [
            _decided(source, match, there.get((source.captured.type, match[0] if match else "")))
            for source, match in zip(sources, matches, strict=True)
        ]

    def keep(self, planned: Sequence[Planned]) -> None:
        """Keep a plan as the items of the restore, with what becomes of their assignments."""
        rows = [self._row(position, item) for position, item in enumerate(planned)]
        captured = [item.source.captured for item in planned]
        references = self._references(rows, captured)
        for row, item in zip(rows, captured, strict=True):
            row["assignments"] = assignments_told(item, references)
        database = self.records.database
        with self.records.transaction():
            RestoreItem.delete().where(RestoreItem.restore_id == self.restore.id).execute(database)
            for row in rows:
                RestoreItem.insert(**row).execute(database)
            Restore.update(fingerprint=fingerprint_of(planned)).where(
                Restore.id == self.restore.id
            ).execute(database)

    def _row(self, position: int, item: Planned) -> dict[str, Any]:
        return {
            "restore_id": self.restore.id,
            "type": item.source.captured.type,
            "source_id": item.source.captured.external_id,
            "position": position,
            "name": storable_name(item.source.content.name),
            "version_id": item.source.version_id,
            "decision": item.decision,
            "target_id": item.target_id,
            "target_hash": item.target_hash,
            "state": State.PLANNED,
            "changed_at": SQL(self.records.dialect.now_ms),
        }

    def _references(
        self, rows: Sequence[dict[str, Any]], captured: Sequence[Captured]
    ) -> References:
        # As it will be once what is to be made is there, under an id that nobody knows yet.
        there = [
            RestoreItem(
                type=row["type"], source_id=row["source_id"], target_id=row["target_id"] or "new"
            )
            for row in rows
            if row["target_id"] or row["decision"] == Decision.CREATE
        ]
        return references_of(
            self.records,
            captured,
            targets=Targets.read(self.graph, ()),
            items=there,
            source_tenant=self.source_tenant,
            target_tenant=self.restore.tenant_id,
            mapping=self.restore.mapping or {},
        )

    def _contents(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Content]:
        naming = Naming(self.graph, self.records)
        found: dict[tuple[str, str], Content] = {}
        for type_ in dict.fromkeys(type_ for type_, _ in wanted):
            ids = [id_ for of_type, id_ in wanted if of_type == type_]
            read = [
                (id_, item)
                for id_, item in read_whole(self.graph, BY_TYPE[type_], ids)
                if isinstance(item, Captured)
            ]
            names = naming.names_for([item for _, item in read])
            for id_, item in read:
                try:
                    found[type_, id_] = normalise(item, names)
                except MalformedContent:
                    # It differs from whatever is to be written, and is written over.
                    continue
        return found


def fingerprint_of(planned: Sequence[Planned]) -> str:
    """What a preview is known by: every decision, and what it was made from."""
    return hash_of(
        [
            [
                *(item.source.captured.type, item.source.captured.external_id),
                *(item.source.version_id, item.decision, item.target_id, item.target_hash),
            ]
            for item in planned
        ]
    )


def report_of(planned: Sequence[Planned]) -> dict[str, int]:
    """How many objects have which decision."""
    return dict(sorted(Counter(str(item.decision) for item in planned).items()))


def _decided(source: Source, match: Sequence[str], there: Content | None) -> Planned:
    contract = BY_TYPE[source.captured.type]
    if contract.writing is Writing.PREVIEW_ONLY:
        return Planned(source, Decision.PREVIEW_ONLY)
    if len(match) > 1:
        return Planned(source, Decision.AMBIGUOUS)
    if not match:
        return Planned(source, Decision.CREATE)
    if not contract.is_policy:
        return Planned(source, Decision.MAPPED, match[0])
    now = there.fingerprint_of_all if there else None
    same = now == source.content.fingerprint_of_all
    return Planned(source, Decision.UNCHANGED if same else Decision.UPDATE, match[0], now)
