"""What a person is told: the runs they started that have ended."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lastword.access import Capability
from lastword.identity import LONGEST_ID
from lastword.reading.notifications import count_unread, list_notifications
from lastword.service.notifying import mark_read
from lastword.web import words
from lastword.web.asking import Asked
from lastword.web.guarding import Entry


def notifications(asked: Asked) -> Response:
    """The latest notifications."""
    asked.query.only(set())
    person = asked.person
    found = list_notifications(
        asked.ledger,
        person.user_id,
        scopes=person.scopes_with(Capability.VIEW),
        labels=asked.site.labels,
    )
    return asked.page("notifications.html", notes=[_shown(note) for note in found])


def bell(asked: Asked) -> Response:
    """The bell, for whoever has a page open."""
    person = asked.person
    scopes = person.scopes_with(Capability.VIEW)
    return asked.fragment(
        "bell.html", unread=count_unread(asked.ledger, person.user_id, scopes=scopes)
    )


def read(asked: Asked) -> Response:
    """One notification was read, or all of them."""
    asked.form.only({"run"})
    mark_read(asked.ledger, asked.person.user_id, asked.form.text("run", longest=LONGEST_ID))
    return asked.go("/admin/notifications")


def _shown(note: dict[str, Any]) -> dict[str, Any]:
    return {
        **note,
        "badge": words.state_badge("completed", note["outcome"]),
        "sentence": words.sentence_of(note["reason_code"]),
    }


ENTRIES = (
    Entry("/admin/notifications", notifications, needs=None),
    Entry("/admin/notifications/bell", bell, needs=None),
    Entry("/admin/notifications/read", read, method="POST", needs=None),
)
