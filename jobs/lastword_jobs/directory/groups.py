"""The group sync: all groups, or what changed, from a link that moves with what it brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peewee import SQL, BigIntegerField, CharField, CompositeKey, Model, TextField

from lastword.counts import Number
from lastword.current import CurrentRun
from lastword.reasons import Blocked, Reason
from lastword.storage.fields import JsonText
from lastword.storage.ledger import Ledger
from lastword_jobs.directory.records import (
    Group,
    mark_deleted,
    mark_unseen,
    purge,
    upsert_known,
)
from lastword_jobs.graph.client import GraphClient, Page
from lastword_jobs.graph.errors import DeltaExpired
from lastword_jobs.records import readable
from lastword_jobs.scopes import cut

#: Properties of a group that are read. Members and owners are not: nobody here needs them.
SELECTED = ("id", "displayName", "description", "groupTypes", "securityEnabled", "mailEnabled")

_SELECT = f"$select={','.join(SELECTED)}"
FULL = f"v1.0/groups?{_SELECT}&$top=999"
FROM_NOW = f"v1.0/groups/delta?{_SELECT}&$deltatoken=latest"

_RESOURCE = "groups"

#: What is counted of a page.
_COUNTED = ("items", "pages", "created", "updated", "unchanged", "deleted", "failed")


class Delta(Model):
    """Where the changes of a resource go on, and where a sync that is under way stands."""

    tenant_id = CharField(max_length=64)
    resource = CharField(max_length=50)
    link = TextField(null=True)
    resume = JsonText(null=True)
    changed_at = BigIntegerField()

    class Meta:
        """Where it is stored."""

        table_name = "lastword_jobs_delta"
        primary_key = CompositeKey("tenant_id", "resource")


@dataclass(frozen=True, slots=True)
class GroupSync:
    """One run's sync of the groups of one tenant.

    Args:
        run: the run, to count on.
        graph: the tenant's provider.
        records: where the groups are.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger

    def sync(self, mode: str) -> None:
        """Bring the groups up to date, from where an earlier attempt of this run stood.

        Args:
            mode: `full` reads all of them; `delta` reads what changed, and all where that is not
                known.

        Raises:
            Blocked: the mode is none.
            RunFailure: the provider failed.
        """
        if mode not in ("full", "delta"):
            known = "expected full or delta"
            raise Blocked(Reason.EXECUTION_PREREQUISITE_INVALID, f"Mode {cut(str(mode))}; {known}.")
        self.run.progress(total=0, processed=0, succeeded=0, failed=0)
        link, resume = self._standing()
        if resume is not None:
            self.run.progress(**resume["counts"])
            self._read(resume["at"], later=resume["later"], full=resume["full"])
        elif mode == "delta" and link is not None:
            self._read(link, later=None, full=False)
        else:
            self._all()
        if self.run.counts["failed"]:
            self.run.note_failure(Reason.INVALID_STATE, "Groups without an id were left out.")

    def _read(self, at: str, *, later: str | None, full: bool) -> None:
        try:
            for page in self.graph.pages(at):
                self._keep(page, later=later, full=full)
        except DeltaExpired:
            if at == FULL:
                raise
            # The provider has forgotten where we stood: everything is read, and counted, anew.
            self.run.remember(resynchronised=True)
            self.run.progress(**dict.fromkeys(_COUNTED, 0))
            self._all()

    def _all(self) -> None:
        # Asked for before the first page: what changes during the listing is told by it later.
        latest = [page.delta_link for page in self.graph.pages(FROM_NOW)][-1]
        self._read(FULL, later=latest, full=True)

    def _keep(self, page: Page, *, later: str | None, full: bool) -> None:
        sound = readable(page.entities)
        there = [entity for entity in sound if "@removed" not in entity]
        gone = [entity["id"] for entity in sound if "@removed" in entity]
        with self.records.transaction():
            kept = upsert_known(
                self.records,
                Group,
                there,
                kept=SELECTED,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
            )
            tenant_id, run_id = self.graph.tenant_id, self.run.run_id
            deleted = mark_deleted(self.records, Group, tenant_id, gone, run_id)
            last = page.next_link is None
            if last and full:
                deleted += mark_unseen(self.records, Group, tenant_id, run_id)
            if last:
                purge(self.records, Group, tenant_id)
            counts = self._counted(
                items=kept.items + len(gone),
                pages=1,
                created=kept.created,
                updated=kept.updated,
                unchanged=kept.unchanged,
                deleted=deleted,
                failed=len(page.entities) - len(sound),
            )
            # With the changes it brought, or not at all.
            self._move(page, later=later, full=full, counts=counts)
        self.run.progress(**counts)

    def _counted(self, **more: int) -> dict[str, Number]:
        before = self.run.counts
        counts = {key: before.get(key, 0) + more[key] for key in _COUNTED}
        done = counts["items"] + counts["failed"]
        return {
            **counts,
            "total": done,
            "processed": done,
            "succeeded": counts["items"],
            "throttled": self.graph.traffic.throttled,
            "retried": self.graph.traffic.retried,
        }

    def _standing(self) -> tuple[str | None, dict[str, Any] | None]:
        with self.records.session():
            query = Delta.select().where(
                (Delta.tenant_id == self.graph.tenant_id) & (Delta.resource == _RESOURCE)
            )
            row = query.first(self.records.database)
        if row is None:
            return None, None
        mine = row.resume if row.resume and row.resume["run"] == self.run.run_id else None
        return row.link, mine

    def _move(
        self, page: Page, *, later: str | None, full: bool, counts: dict[str, Number]
    ) -> None:
        values: dict[str, Any] = {"changed_at": SQL(self.records.dialect.now_ms)}
        if page.next_link is None:
            values |= {"link": later or page.delta_link, "resume": None}
        else:
            values["resume"] = {
                "run": self.run.run_id,
                "at": page.next_link,
                "later": later,
                "full": full,
                "counts": counts,
            }
        Delta.insert(tenant_id=self.graph.tenant_id, resource=_RESOURCE, **values).on_conflict(
            conflict_target=[Delta.tenant_id, Delta.resource], update=values
        ).execute(self.records.database)
