"""The role sync: every role definition of a directory, built in or the tenant's own."""

from __future__ import annotations

from dataclasses import dataclass

from lastword.current import CurrentRun
from lastword.reasons import Blocked, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.directory.records import RoleDefinition, mark_unseen, purge, upsert_known
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.errors import PermissionDenied
from lastword_jobs.records import Upserted, readable

LISTING = "v1.0/roleManagement/directory/roleDefinitions"

KEPT = ("displayName", "description", "isBuiltIn", "isEnabled", "templateId", "rolePermissions")


@dataclass(frozen=True, slots=True)
class RoleSync:
    """One run's sync of the roles of one tenant.

    Args:
        run: the run, to count on.
        graph: the tenant's provider.
        records: where the roles are.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger

    def sync(self) -> None:
        """Record every role, in one transaction: there are a hundred or so.

        Raises:
            Blocked: the application may not read them.
            RunFailure: the provider failed.
        """
        try:
            pages = list(self.graph.pages(LISTING))
        except PermissionDenied as error:
            # It is all that was to be done, and nothing of it was.
            raise Blocked(error.reason, error.message) from error
        given = [entity for page in pages for entity in page.entities]
        sound = readable(given)
        with self.records.transaction():
            changed = upsert_known(
                self.records,
                RoleDefinition,
                sound,
                kept=KEPT,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
            )
            tenant_id, run_id = self.graph.tenant_id, self.run.run_id
            deleted = mark_unseen(self.records, RoleDefinition, tenant_id, run_id)
            purge(self.records, RoleDefinition, tenant_id)
        self._count(changed, pages=len(pages), deleted=deleted, failed=len(given) - len(sound))

    def _count(self, changed: Upserted, *, pages: int, deleted: int, failed: int) -> None:
        if failed:
            self.run.note_failure(Reason.INVALID_STATE, "Roles without an id were left out.")
        self.run.progress(
            total=changed.items + failed,
            processed=changed.items + failed,
            succeeded=changed.items,
            failed=failed,
            items=changed.items,
            pages=pages,
            created=changed.created,
            updated=changed.updated,
            unchanged=changed.unchanged,
            deleted=deleted,
            throttled=self.graph.traffic.throttled,
            retried=self.graph.traffic.retried,
        )
