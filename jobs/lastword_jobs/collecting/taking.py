"""Taking objects: read whole, normalised, kept as versions, and noted, a few at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from lastword.current import CurrentRun
from lastword.reasons import Reason, RunFailure
from lastword.storage.ledger import Ledger
from lastword_jobs.collecting.naming import Naming
from lastword_jobs.collecting.reading import concerns_one, read_whole
from lastword_jobs.collecting.records import Taken, Taking, note_taken
from lastword_jobs.collecting.versions import keep_version
from lastword_jobs.content.documents import Captured, Content, MalformedContent, Names
from lastword_jobs.content.normalising import normalise
from lastword_jobs.content.restoring import secrets_of
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import Contract
from lastword_jobs.graph.errors import NotFound

Read = tuple[str, Captured | RunFailure]


@dataclass(frozen=True, slots=True)
class Hidden:
    """The values of an object that the provider hides, sealed; and why one of them is not there."""

    sealed: str | None = None
    refused_for: Reason | None = None


@dataclass(slots=True)
class Taker:
    """Takes objects for an owner; see `Collecting`."""

    run: CurrentRun
    graph: GraphClient
    records: Ledger
    owner_id: str
    seal: Callable[[str], str] | None = None
    _naming: Naming = field(init=False)

    def __post_init__(self) -> None:
        self._naming = Naming(self.graph, self.records)

    def take(self, contract: Contract, ids: Sequence[str]) -> None:
        """Read these objects and keep them.

        Raises:
            RunFailure: the provider failed; what was read before that is kept.
        """
        read: list[Read] = []
        try:
            for item in read_whole(self.graph, contract, ids):
                read.append(item)
        except RunFailure:
            self._keep(contract, read)
            raise
        self._keep(contract, read)

    def _keep(self, contract: Contract, read: Sequence[Read]) -> None:
        whole = [item for _, item in read if isinstance(item, Captured)]
        names = self._naming.names_for(whole) if whole else Names()
        judged = [(id_, item, _normalised(item, names)) for id_, item in read]
        hidden = {id_: self._hidden(contract, item) for id_, item, _ in judged}
        with self.records.transaction():
            for id_, item, content in judged:
                taken = self._taken(id_, item, content, hidden[id_])
                note_taken(self.records, self.owner_id, contract.type, taken)

    def _taken(
        self,
        id_: str,
        item: Captured | RunFailure,
        content: Content | str,
        hidden: Hidden,
    ) -> Taken:
        if isinstance(item, NotFound):
            return Taken(id_, Taking.SKIPPED, item.reason, "It was deleted meanwhile.")
        if isinstance(item, RunFailure):
            return Taken(id_, Taking.FAILED, item.reason, item.message)
        if isinstance(content, str):
            return Taken(id_, Taking.FAILED, Reason.INVALID_STATE, content)
        kept = keep_version(
            self.records, item, content, tenant_id=self.graph.tenant_id, run_id=self.run.run_id
        )
        return Taken(
            id_,
            Taking.TAKEN,
            reason=hidden.refused_for,
            message="A hidden value could not be read." if hidden.refused_for else "",
            version_id=kept.version_id,
            secrets=hidden.sealed,
            size=kept.size,
        )

    def _hidden(self, contract: Contract, item: Captured | RunFailure) -> Hidden:
        if self.seal is None or isinstance(item, RunFailure):
            return Hidden()
        refused_for: Reason | None = None
        plain: dict[str, str] = {}
        for secret in secrets_of(item.entity):
            reference = quote(secret.reference, safe="")
            action = f"getOmaSettingPlainTextValue(secretReferenceValueId='{reference}')"
            try:
                answer = self.graph.get(contract.part(item.external_id, action))
            except RunFailure as failure:
                if not concerns_one(failure):
                    raise
                refused_for = failure.reason
                continue
            plain[secret.oma_uri] = str(answer.get("value"))
        return Hidden(self.seal(json.dumps(plain)) if plain else None, refused_for)


def _normalised(item: Captured | RunFailure, names: Names) -> Content | str:
    # What is wrong with it, where it cannot be normalised.
    if isinstance(item, RunFailure):
        return item.message
    try:
        return normalise(item, names)
    except MalformedContent as error:
        return f"It is not shaped as the provider shapes it: {error}."
