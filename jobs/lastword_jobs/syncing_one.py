"""Syncing one policy: its whole content becomes a version, if it is another one than before."""

from __future__ import annotations

from dataclasses import dataclass

from lastword.current import CurrentRun
from lastword.reasons import Blocked, PermanentFailure, Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.collecting.naming import Naming
from lastword_jobs.collecting.reading import read_whole
from lastword_jobs.collecting.versions import keep_version
from lastword_jobs.content.documents import Captured, Content, MalformedContent
from lastword_jobs.content.normalising import normalise
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.errors import NotFound
from lastword_jobs.records import Policy
from lastword_jobs.scopes import contracts_of, cut

#: Characters of an object's id at most.
LONGEST_ID = 128


@dataclass(frozen=True, slots=True)
class OneSync:
    """One run's sync of one policy.

    Args:
        run: the run.
        graph: the tenant's provider.
        records: where versions are kept.
    """

    run: CurrentRun
    graph: GraphClient
    records: Ledger

    def sync(self, policy_id: str, type_: str) -> None:
        """Keep the version that a policy has now; the one there is if nothing has changed.

        Raises:
            Blocked: the type or the id is none.
            PermanentFailure: there is no such policy, or it is not shaped as one.
            RunFailure: the provider failed.
        """
        [contract] = contracts_of([type_])
        if not isinstance(policy_id, str) or not 0 < len(policy_id) <= LONGEST_ID:
            raise Blocked(Reason.EXECUTION_PREREQUISITE_INVALID, "The policy's id is none.")
        if not policy_id.isascii() or not policy_id.replace("-", "").isalnum():
            # It becomes a part of a path.
            message = f"The policy's id {cut(policy_id)!a} is none."
            raise Blocked(Reason.EXECUTION_PREREQUISITE_INVALID, message)
        self.run.progress(total=1, processed=0, succeeded=0, failed=0)
        try:
            [(_, read)] = read_whole(self.graph, contract, [policy_id])
            if not isinstance(read, Captured):
                raise read
            content = normalise(read, Naming(self.graph, self.records).names_for([read]))
        except NotFound:
            self._is_gone(policy_id, type_)
            self.run.count(processed=1, failed=1)
            raise
        except MalformedContent as error:
            self.run.count(processed=1, failed=1)
            message = f"The policy is not shaped as the provider shapes it: {error}."
            raise PermanentFailure(Reason.INVALID_STATE, message) from error
        self._keep(read, content)

    def _keep(self, read: Captured, content: Content) -> None:
        with self.records.transaction():
            kept = keep_version(
                self.records,
                read,
                content,
                tenant_id=self.graph.tenant_id,
                run_id=self.run.run_id,
            )
        self.run.count(
            processed=1, succeeded=1, created=int(kept.is_new), unchanged=int(not kept.is_new)
        )
        self.run.remember(version_id=kept.version_id, unresolved=list(content.unresolved))

    def _is_gone(self, policy_id: str, type_: str) -> None:
        with self.records.transaction():
            Policy.update(missing=True).where(
                (Policy.tenant_id == self.graph.tenant_id)
                & (Policy.type == type_)
                & (Policy.external_id == policy_id)
            ).execute(self.records.database)
