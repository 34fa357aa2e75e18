"""Delta queries of groups: all of them once, then what changed, until the token has expired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lastword_jobs.graph_server.answers import Answer, Refusal, bad_request
from lastword_jobs.graph_server.calls import Errand
from lastword_jobs.graph_server.paging import link_to
from lastword_jobs.graph_server.query import options_of, token_of, value_of
from lastword_jobs.graph_server.tenants import Entity, GroupChange, Removal

_TOKENS = frozenset({"$deltatoken", "$skiptoken"})

#: The token that asks for no object, only for where to go on from.
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a delta query; a token is a round written down.

    Attributes:
        generation: the seed of the tenant that it belongs to.
        since: changes the asker knows; None for a first round, which lists everything.
        until: changes that this round tells of.
        issued_s: when its first request came, in Unix seconds.
        select: the properties that were asked for in the very first request.
        offset: what was told of it already.
        last_id: the last group that was told of.
    """

    generation: int
    since: int | None
    until: int
    issued_s: float
    select: str | None = None
    offset: int = 0
    last_id: str = ""

    @property
    def token(self) -> str:
        """This round as a token."""
        return token_of([getattr(self, name) for name in self.__slots__])


def list_changes(errand: Errand) -> Answer:
    """GET groups/delta."""
    query = errand.call.query
    for option in sorted(query.keys() - _TOKENS - {"$select"}):
        raise bad_request(f"The query option '{option}' is not supported by delta queries.")
    if len(query.keys() & _TOKENS) == len(_TOKENS):
        raise bad_request("A delta query takes one token.")
    begun = _begun(errand)
    if query.get("$deltatoken") == LATEST:
        return _answer(errand, [], "@odata.deltaLink", {"$deltatoken": _next(begun).token})
    told, goes_on = _page(errand, begun)
    if goes_on is not None:
        return _answer(errand, told, "@odata.nextLink", {"$skiptoken": goes_on.token})
    return _answer(errand, told, "@odata.deltaLink", {"$deltatoken": _next(begun).token})


def _begun(errand: Errand) -> Round:
    tenant, query = errand.tenant, errand.call.query
    name = next(iter(query.keys() & _TOKENS), "")
    fresh = Round(tenant.generation, None, len(tenant.changes), errand.now_s, query.get("$select"))
    if name == "" or query[name] in ("", LATEST):
        options_of(
            {key: value for key, value in query.items() if key == "$select"},
            errand.resource,
            allowed=frozenset({"$select"}),
            headers={},
        )
        return fresh
    if "$select" in query:
        raise bad_request("What is selected is fixed by the first delta query.")
    known = _round_in(query[name])
    age_s = errand.now_s - known.issued_s
    if known.generation != tenant.generation or age_s > errand.rules.delta_lifetime_s:
        raise _resync(errand)
    if name == "$skiptoken":
        return known
    since = max(0, (known.since or 0) - errand.rules.delta_replay)
    return Round(tenant.generation, since, fresh.until, errand.now_s, known.select)


def _round_in(token: str) -> Round:
    match value_of(token):
        case [int(), int() | None, int(), int() | float(), str() | None, int(), str()] as values:
            found = Round(*values)
            if min(found.since or 0, found.until, found.offset) >= 0:
                return found
    raise bad_request("The delta token is not valid.")


def _next(done: Round) -> Round:
    return Round(done.generation, done.until, done.until, done.issued_s, done.select)


def _page(errand: Errand, asked: Round) -> tuple[list[Entity], Round | None]:
    tenant, size = errand.tenant, errand.resource.page
    if asked.since is None:
        groups = tenant.collections.get("groups", [])
        # A group that goes between two pages moves the others up; its tombstone comes with the
        # next round, and what was moved must not be left out.
        place = next((n for n, group in enumerate(groups) if group["id"] == asked.last_id), None)
        start = asked.offset if place is None else place + 1
        told = [_shown(group, asked.select) for group in groups[start : start + size]]
        end, total = start + size, len(groups)
    else:
        changes = _last_changes(tenant.changes[asked.since : asked.until])
        page = changes[asked.offset : asked.offset + size]
        groups_by_id = {group["id"]: group for group in tenant.collections.get("groups", [])}
        told = [_told(change, groups_by_id, asked.select) for change in page]
        end, total = asked.offset + size, len(changes)
    if end >= total:
        return told, None
    values: dict[str, Any] = {name: getattr(asked, name) for name in Round.__slots__}
    return told, Round(**{**values, "offset": end, "last_id": told[-1]["id"]})


def _last_changes(changes: list[GroupChange]) -> list[GroupChange]:
    last = {change.group_id: change for change in changes}
    return list(last.values())


def _told(change: GroupChange, groups: Mapping[str, Entity], select: str | None) -> Entity:
    group = groups.get(change.group_id)
    if group is not None:
        return _shown(group, select)
    # A change of a group that has gone since this round began is told as its end; the next round
    # tells that again.
    return {"id": change.group_id, "@removed": {"reason": change.removal or Removal.DELETED}}


def _shown(group: Entity, select: str | None) -> Entity:
    if select is None:
        return dict(group)
    wanted = {"id", *select.split(",")}
    return {key: value for key, value in group.items() if key in wanted}


def _resync(errand: Errand) -> Refusal:
    return Refusal(
        410,
        "syncStateNotFound",
        "The sync state generation is not found.",
        {"Location": link_to(errand.call.address, {"$deltatoken": ""})},
    )


def _answer(errand: Errand, told: list[Entity], link: str, query: dict[str, str]) -> Answer:
    body = {
        "@odata.context": f"{errand.call.context}#groups",
        link: link_to(errand.call.address, query),
        "value": told,
    }
    return Answer(200, body)
