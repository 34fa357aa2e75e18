"""The audit log: its page, one event as a panel over it, and its export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from lastword.access import Capability
from lastword.identity import LONGEST_ID
from lastword.reading.audit import AuditFilter, find_audit, list_audit, walk_audit
from lastword.reading.viewers import Viewer
from lastword.service.audit import ActorKind, Result
from lastword.storage.ledger import Row
from lastword.web.asking import Asked, NotFound
from lastword.web.fields import Fields
from lastword.web.guarding import Entry
from lastword.web.identifying import viewer_of

#: Entries of one page.
PAGE = 50

_FILTERS = ("action", "actor_kind", "actor_id", "result", "tenant_id", "run_id")

#: The largest id that both databases hold.
_MOST = 2**63 - 1


def audit(asked: Asked) -> Response:
    """The log, newest first; with `event`, one entry in a panel over it."""
    asked.query.only({*_FILTERS, "before", "event"})
    wanted = _wanted(asked)
    found = list_audit(asked.ledger, replace(wanted, limit=PAGE + 1))
    event_id = asked.query.number("event", 1, _MOST)
    event = None
    if event_id is not None:
        event = find_audit(asked.ledger, event_id, _scope(asked.person))
        if event is None:
            raise NotFound
    kept = [pair for pair in asked.query.pairs if pair[0] not in ("event", "before")]
    return asked.page(
        "audit.html",
        entries=found[:PAGE],
        next_before=found[PAGE - 1]["id"] if len(found) > PAGE else None,
        event=event,
        changes=changes_of(event) if event else [],
        query=urlencode(kept),
        filters={**dict.fromkeys(_FILTERS), **dict(kept)},
        kinds=list(ActorKind),
        results=list(Result),
    )


def panel(asked: Asked) -> Response:
    """One entry, to be laid over the page that names it."""
    event_id = int(asked.path["event"])
    event = find_audit(asked.ledger, event_id, _scope(asked.person)) if event_id < _MOST else None
    if event is None:
        raise NotFound
    return asked.part("audit_event.html", event=event, changes=changes_of(event))


def export(asked: Asked) -> Response:
    """Every entry that fits, one JSON object a line, as it is read."""
    asked.query.only(set(_FILTERS))
    wanted = _wanted(asked)
    # Row by row, and asked anew at each page: who may see it no more gets no more of it.
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    lines = _lines(asked, wanted)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def changes_of(event: Row) -> list[tuple[str, Any, Any]]:
    """What an entry says was changed: each name with what was before and what is after."""
    before, after = event["before"] or {}, event["after"] or {}
    return [(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]


def _lines(asked: Asked, wanted: AuditFilter) -> Iterator[str]:
    for page in walk_audit(asked.ledger, wanted):
        yield "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in page)
        now = viewer_of(asked.site, asked.request, with_tokens=False)
        if now is None or now.scopes_with(Capability.AUDIT) != wanted.scopes:
            return


def _wanted(asked: Asked) -> AuditFilter:
    query: Fields = asked.query
    return replace(
        _scope(asked.person),
        action=query.text("action", longest=50),
        actor_kind=query.choice("actor_kind", list(ActorKind)),
        actor_id=query.text("actor_id", longest=LONGEST_ID),
        result=query.choice("result", list(Result)),
        tenant_id=query.text("tenant_id", longest=LONGEST_ID),
        run_id=query.text("run_id", longest=LONGEST_ID),
        before=query.number("before", 1, _MOST),
    )


def _scope(person: Viewer) -> AuditFilter:
    return AuditFilter(scopes=person.scopes_with(Capability.AUDIT))


ENTRIES = (
    Entry("/admin/audit", audit, needs=Capability.AUDIT),
    Entry("/admin/audit/export", export, needs=Capability.AUDIT),
    Entry("/admin/audit/{event:int}/panel", panel, needs=Capability.AUDIT),
)
