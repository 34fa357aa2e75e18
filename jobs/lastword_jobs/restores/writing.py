"""Writing one item back: each step is recorded before the next, and none is done twice."""

from __future__ import annotations

from dataclasses import dataclass

from lastword.storage.ledger import Ledger
from lastword_jobs.collecting.naming import Naming
from lastword_jobs.collecting.reading import read_whole
from lastword_jobs.content.differences import differences
from lastword_jobs.content.documents import Captured, MalformedContent
from lastword_jobs.content.normalising import normalise
from lastword_jobs.content.restoring import (
    References,
    assign_body,
    create_body,
    rules_body,
    secrets_of,
    update_body,
    with_secrets,
    without_lost,
)
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.contracts import ASSIGNMENTS, BY_TYPE
from lastword_jobs.graph.errors import NotFound, RequestRefused, ResultUnknown
from lastword_jobs.graph.exchanges import Ask, Json
from lastword_jobs.records import readable
from lastword_jobs.restores.records import Decision, RestoreItem, State, move_item
from lastword_jobs.restores.sources import Source
from lastword_jobs.restores.targets import assignments_told

#: Seconds between looks for something that was just made: the provider shows it after a while.
LOOKS_S = (1.0, 2.0, 4.0, 8.0)


#: How often something is asked to be made that is not to be found afterwards.
MOST_SENDS = 2


class Uncertain(RequestRefused):
    """More than one object may be the one that was asked for: a person has to look."""


@dataclass(frozen=True, slots=True)
class ItemWriter:
    """Writes items of one restore to one tenant.

    Args:
        graph: the target.
        records: where the ledger of the restore is.
        naming: names what the target's policies refer to.
        taken: ids that belong to other items.
    """

    graph: GraphClient
    records: Ledger
    naming: Naming
    taken: set[str]

    def write(self, item: RestoreItem, source: Source, references: References) -> None:
        """Bring one item from where it stands to its end.

        Raises:
            Uncertain: nobody can say whether it is there already.
            RequestRefused: the provider refused it, or it is not what it was to be.
            RunFailure: the provider failed.
        """
        if item.state in (State.PLANNED, State.CREATE_SENT):
            if item.decision == Decision.CREATE:
                self._create(item, source, references)
            else:
                self._update(item, source, references)
            move_item(self.records, item, State.WRITTEN, target_id=item.target_id)
        if item.state == State.WRITTEN:
            self._assign(item, source, references)
            # What was there to be assigned to, which may be less than was planned.
            told = assignments_told(source.captured, references)
            move_item(self.records, item, State.ASSIGNED, assignments=told)
        if item.state == State.ASSIGNED:
            self._verify(item, source, references)
            move_item(self.records, item, State.VERIFIED)

    def _create(self, item: RestoreItem, source: Source, references: References) -> None:
        contract = BY_TYPE[item.type]
        if item.state == State.CREATE_SENT and self._adopt(item, source):
            return
        move_item(self.records, item, State.CREATE_SENT)
        body = create_body(with_secrets(source.captured, source.plain), references)
        for _ in range(MOST_SENDS):
            item.target_id = self._made(Ask("POST", contract.listing, body, once=True))
            if item.target_id is not None:
                self.taken.add(item.target_id)
                return
            if self._adopt(item, source):
                return
        raise ResultUnknown("The provider did not say whether it made it, and does not show it.")

    def _made(self, ask: Ask) -> str | None:
        # The id of what was made; None if nobody said, or said what names nothing.
        try:
            made = self.graph.ask(ask).get("id")
        except ResultUnknown:
            return None
        return made if isinstance(made, str) and made else None

    def _adopt(self, item: RestoreItem, source: Source) -> bool:
        # It was asked to be made, and may have been: when the plan was made, nothing had its name.
        contract, name = BY_TYPE[item.type], source.captured.name
        for wait_s in (0.0, *LOOKS_S):
            if wait_s:
                self.graph.wire.sleep(wait_s)
            found = [
                entity["id"]
                for page in self.graph.pages(contract.listing)
                for entity in readable(page.entities)
                if entity.get(contract.name_key) == name and entity["id"] not in self.taken
            ]
            if len(found) > 1:
                raise Uncertain(f"{len(found)} objects of that name may be the one that was made.")
            if found:
                item.target_id = found[0]
                self.taken.add(found[0])
                return True
        return False

    def _update(self, item: RestoreItem, source: Source, references: References) -> None:
        contract, target_id = BY_TYPE[item.type], str(item.target_id)
        target = self.graph.get(contract.one(target_id))
        whole = with_secrets(source.captured, source.plain, target=target)
        body = update_body(whole, references)
        self.graph.ask(Ask(contract.update, f"{contract.listing}/{target_id}", body))
        rules = rules_body(source.captured, references)
        if rules is not None:
            self.graph.ask(Ask("POST", contract.part(target_id, contract.rules), rules))

    def _assign(self, item: RestoreItem, source: Source, references: References) -> None:
        contract = BY_TYPE[item.type]
        if ASSIGNMENTS not in contract.parts:
            return
        ask = Ask(
            "POST",
            contract.part(str(item.target_id), "assign"),
            assign_body(source.captured, references),
        )
        self._soon(ask, made=item.decision == Decision.CREATE)

    def _verify(self, item: RestoreItem, source: Source, references: References) -> None:
        contract, target_id = BY_TYPE[item.type], str(item.target_id)
        if item.decision == Decision.CREATE:
            self._soon(Ask("GET", contract.one(target_id)), made=True)
        [(_, read)] = read_whole(self.graph, contract, [target_id])
        if not isinstance(read, Captured):
            raise read
        # Compared with what could be written, in the names that the target has for it.
        written = Captured(
            item.type,
            without_lost(source.captured, source.plain, target=read.entity).entity,
            source.captured.settings,
            assign_body(source.captured, references)["assignments"],
        )
        names = self.naming.names_for([read, written])
        try:
            wanted = normalise(_as_there(written, references), names)
            found = differences(wanted, normalise(read, names))
        except MalformedContent as error:
            raise RequestRefused(f"What was written cannot be read: {error}.") from error
        if found:
            paths = ", ".join(difference.path or difference.part for difference in found[:5])
            raise RequestRefused(f"What was written reads otherwise: {paths}.")
        lost = {secret.oma_uri for secret in secrets_of(source.captured.entity)}
        kept = {secret.oma_uri for secret in secrets_of(read.entity)}
        if lost - kept:
            raise RequestRefused(f"{len(lost - kept)} hidden values are in no backup: set them.")

    def _soon(self, ask: Ask, *, made: bool) -> Json:
        # What was just made may not be found for some seconds.
        for wait_s in LOOKS_S if made else ():
            try:
                return self.graph.ask(ask)
            except NotFound:
                self.graph.wire.sleep(wait_s)
        return self.graph.ask(ask)


def _as_there(written: Captured, references: References) -> Captured:
    body = create_body(written, references)
    rules = body.get("scheduledActionsForRule")
    entity = {**body, "displayName": written.name}
    return Captured(
        written.type,
        {**entity, "scheduledActionsForRule": rules} if rules else entity,
        written.settings,
        written.assignments,
    )
