"""Listing a collection: which exist where, strict query options, and paging as Graph pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lastword_jobs.graph_server.seeding import Entity

#: The most objects a page holds, whatever is asked for.
MAX_PAGE = 1000

_READ_CONFIGURATION = "DeviceManagementConfiguration.Read.All"


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection under `deviceManagement`.

    Attributes:
        versions: the API versions that have it.
        page: objects on a page unless fewer are asked for.
        page_is_fixed: whether `$top` cannot raise the page, as in the settings catalog.
        role: the application permission that reads it.
    """

    versions: frozenset[str]
    page: int = MAX_PAGE
    page_is_fixed: bool = False
    role: str = _READ_CONFIGURATION


_BOTH, _BETA = frozenset({"v1.0", "beta"}), frozenset({"beta"})

COLLECTIONS: Mapping[str, Collection] = {
    "configurationPolicies": Collection(_BETA, page=25, page_is_fixed=True),
    "deviceConfigurations": Collection(_BOTH),
    "deviceCompliancePolicies": Collection(_BOTH),
    "assignmentFilters": Collection(_BETA),
    "roleScopeTags": Collection(_BETA, role="DeviceManagementRBAC.Read.All"),
}

_OPTIONS = frozenset({"$select", "$top", "$skiptoken", "$expand"})


class BadQuery(Exception):
    """A query that Graph would answer with 400."""


def page_of(
    entities: Sequence[Entity],
    collection: Collection,
    query: Mapping[str, str],
    *,
    address: str,
) -> dict[str, Any]:
    """One page of a listing.

    Args:
        entities: the whole collection.
        collection: how it pages.
        query: the query options.
        address: the absolute URL of the collection, for the link to the next page.

    Raises:
        BadQuery: an option is unknown or has a wrong value.
    """
    for option in query:
        if option not in _OPTIONS:
            raise BadQuery(f"The query option '{option}' is not supported.")
    start = _skip(query.get("$skiptoken"))
    size = _size(query.get("$top"), collection)
    shown = [_selected(entity, query.get("$select")) for entity in entities[start : start + size]]
    page: dict[str, Any] = {"@odata.context": f"{address}/$metadata", "value": shown}
    if collection.page_is_fixed:
        # Not a slip: this count is the page's, not the collection's.
        page["@odata.count"] = len(shown)
    if start + size < len(entities):
        kept = {key: value for key, value in query.items() if key != "$skiptoken"}
        kept["$skiptoken"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
        options = "&".join(f"{key}={quote(value)}" for key, value in kept.items())
        page["@odata.nextLink"] = f"{address}?{options}"
    return page


def _skip(token: str | None) -> int:
    if token is None:
        return 0
    try:
        start = int(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        start = -1
    if start < 0:
        raise BadQuery("The skip token is not valid.")
    return start


def _size(top: str | None, collection: Collection) -> int:
    if top is None:
        return collection.page
    if not top.isdecimal() or int(top) < 1:
        raise BadQuery(f"Invalid value '{top}' for $top.")
    return min(int(top), collection.page if collection.page_is_fixed else MAX_PAGE)


def _selected(entity: Entity, select: str | None) -> Entity:
    if select is None:
        return entity
    wanted = {"id", "@odata.type", *select.split(",")}
    return {key: value for key, value in entity.items() if key in wanted}
