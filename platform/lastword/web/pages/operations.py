"""The one list of runs: its page, what is asked for again of it, counts and saved views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.responses import Response

from lastword.reading.run_filters import RunFilter
from lastword.reading.runs import count_runs, list_runs
from lastword.reading.tenants import list_tenants_in
from lastword.service.saved_views import list_views, remove_view, save_view
from lastword.web.asking import Asked, NotFound
from lastword.web.fields import Fields
from lastword.web.guarding import Entry
from lastword.web.run_queries import (
    DEFAULT_DAYS,
    FILTERS,
    OTHERS,
    TABS,
    chips_of,
    choices,
    cursor_after,
    default_since_ms,
    read_filter,
    with_tab,
    without_cursor,
)
from lastword.web.shown import shown_run

#: Runs that are counted for a tab at most; more are shown as "more than".
MOST_COUNTED = 999

#: Suggestions of one field at most.
MOST_SUGGESTED = 200


def operations(asked: Asked) -> Response:
    """The list of runs."""
    context = _listed(asked)
    return asked.page(
        "operations.html",
        choices=choices(asked.site.labels),
        **context,
    )


def rows(asked: Asked) -> Response:
    """The rows of the list, for whoever has it open."""
    return asked.fragment("operations_rows.html", **_listed(asked))


def counts(asked: Asked) -> Response:
    """How many runs each tab holds, under the filters that are on."""
    wanted = _wanted(asked)
    numbers = {
        tab: count_runs(
            asked.ledger,
            replace(wanted, attention=tab == "attention", active=tab == "active", before=None),
            at_most=MOST_COUNTED + 1,
        )
        for tab in TABS
    }
    return asked.fragment(
        "operations_tabs.html", numbers=numbers, most=MOST_COUNTED, **_tabs(asked.query)
    )


def suggestions(asked: Asked) -> Response:
    """The tenants that the filter may name, and saved views."""
    tenants = list_tenants_in(asked.ledger, asked.scopes, limit=MOST_SUGGESTED)
    return asked.part(
        "operations_suggestions.html",
        tenants=tenants,
        views=list_views(asked.ledger, asked.person.user_id),
    )


def keep_view(asked: Asked) -> Response:
    """Keep the filters that are on under a name."""
    asked.form.only({"name", "query"})
    name = asked.form.required("name", longest=60)
    query = asked.form.text("query", longest=2000) or ""
    # What is kept has to be a list that can be opened.
    fields = Fields.parsed(query)
    _read(asked, fields)
    kept = without_cursor(fields)
    save_view(asked.ledger, user_id=asked.person.user_id, name=name, query=kept)
    return asked.go(f"/admin/operations?{kept}" if kept else "/admin/operations")


def forget_view(asked: Asked) -> Response:
    """Forget a saved view."""
    name = asked.form.required("name", longest=60)
    if not remove_view(asked.ledger, user_id=asked.person.user_id, name=name):
        raise NotFound
    return asked.go("/admin/operations")


def _listed(asked: Asked) -> dict[str, Any]:
    wanted = _wanted(asked)
    # One more than is shown: whether there is a next page.
    found = list_runs(
        asked.ledger, replace(wanted, limit=wanted.limit + 1), labels=asked.site.labels
    )
    page = found[: wanted.limit]
    more = len(found) > wanted.limit
    return {
        "runs": [shown_run(run) for run in page],
        "next_cursor": cursor_after(page[-1]) if more else None,
        "chips": chips_of(asked.query, asked.site.labels),
        "query": without_cursor(asked.query),
        "poll_query": asked.request.url.query,
        "has_filters": any(name in FILTERS for name, _ in asked.query.pairs),
        "first_page": wanted.before is None,
        "days": DEFAULT_DAYS,
        **_tabs(asked.query),
    }


def _tabs(query: Fields) -> dict[str, Any]:
    return {
        "tab": query.choice("tab", TABS) or "all",
        "tabs": [(tab, label, with_tab(query, tab)) for tab, label in TABS.items()],
    }


def _wanted(asked: Asked) -> RunFilter:
    return _read(asked, asked.query)


def _read(asked: Asked, fields: Fields) -> RunFilter:
    fields.only({*FILTERS, *OTHERS, "notice", "run"})
    wanted = read_filter(fields, scopes=asked.scopes, user_id=asked.person.user_id)
    since = default_since_ms(fields)
    return replace(wanted, since_ms=since) if since is not None else wanted


ENTRIES = (
    Entry("/admin/operations", operations),
    Entry("/admin/operations/rows", rows),
    Entry("/admin/operations/counts", counts),
    Entry("/admin/operations/suggestions", suggestions),
    Entry("/admin/operations/views", keep_view, method="POST", needs=None),
    Entry("/admin/operations/views/remove", forget_view, method="POST", needs=None),
)
