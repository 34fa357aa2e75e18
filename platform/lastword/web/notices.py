"""What a page says of something that was just done: from two fields of the URL, and the ledger."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lastword.access import Capability
from lastword.errors import UnknownRun
from lastword.identity import LONGEST_ID
from lastword.reading.runs import show_run
from lastword.web.asking import Asked
from lastword.web.shown import shown_run

#: Fields of every page that may have something to say.
NOTICE_FIELDS = frozenset({"notice", "run"})


def notice_of(asked: Asked) -> dict[str, Any]:
    """The notice that the URL asks for, of a run that whoever asks may see; none else."""
    notice = asked.query.text("notice", longest=30)
    run_id = asked.query.text("run", longest=LONGEST_ID)
    if notice is None or run_id is None:
        return {}
    scopes = asked.person.scopes_with(Capability.VIEW)
    try:
        run = show_run(asked.ledger, run_id, labels=asked.site.labels, scopes=scopes)
    except UnknownRun:
        return {}
    return {"notice": notice, "run": shown_run(run)}


def tenant_page(
    asked: Asked, template: str, *, fields: frozenset[str] = frozenset(), **context: Any
) -> Response:
    """A page of a tenant, with what there is to say.

    Args:
        asked: the request.
        template: extends `tenant_base.html`.
        fields: what else may stand in the URL.
        context: what the template shows.
    """
    asked.query.only(NOTICE_FIELDS | fields)
    return asked.page(template, **notice_of(asked), **context)
