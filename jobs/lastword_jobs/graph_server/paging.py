"""Pages as Graph cuts them: an absolute link to the next one, and a count that misleads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from lastword_jobs.graph_server.query import Options, token_of
from lastword_jobs.graph_server.tenants import Entity


def page_of(
    entities: Sequence[Entity],
    options: Options,
    *,
    size: int,
    address: str,
    query: Mapping[str, str],
    counts_its_page: bool,
    show: Callable[[Entity], Entity],
) -> dict[str, Any]:
    """One page of a listing, without its context.

    Args:
        entities: all there is to list.
        options: the query options.
        size: objects on a page unless fewer are asked for.
        address: the absolute URL without the query, for the link to the next page.
        query: the options as they came; the link keeps them.
        counts_its_page: whether the count is the page's, as in the settings catalog.
        show: turns an object into what is shown of it.
    """
    start = _start(entities, options.skip)
    end = start + (options.top or size)
    shown = [show(entity) for entity in entities[start:end]]
    page: dict[str, Any] = {}
    if counts_its_page:
        # Not a slip: the real service does so, and clients that trust it stop too early.
        page["@odata.count"] = len(shown)
    elif options.count:
        page["@odata.count"] = len(entities)
    if end < len(entities):
        token = token_of([end, entities[end - 1]["id"]])
        page["@odata.nextLink"] = link_to(address, {**query, "$skiptoken": token})
    page["value"] = shown
    return page


def link_to(address: str, query: Mapping[str, str]) -> str:
    """An absolute link with these options."""
    return f"{address}?" + "&".join(f"{key}={quote(value)}" for key, value in query.items())


def _start(entities: Sequence[Entity], skip: tuple[int, str]) -> int:
    # By the last object seen, not by its place: whatever is deleted between two pages, nothing
    # that is still there is left out.
    offset, last_id = skip
    places = (place for place, entity in enumerate(entities) if entity["id"] == last_id)
    place = next(places, None)
    if place is None:
        return max(0, offset - 1) if offset else 0
    return place + 1
