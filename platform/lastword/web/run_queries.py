"""The filters of the list of runs, as they stand in a URL: the same on the page and in the API."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from lastword.identity import is_run_id
from lastword.reading.freshness import Freshness, ProblemClass
from lastword.reading.run_filters import RunFilter
from lastword.reading.viewers import Scope
from lastword.reasons import Reason
from lastword.states import Outcome, Status
from lastword.web import words
from lastword.web.fields import BadInput, Fields

#: Runs of one page, and of one answer of the API at most.
PAGE = 50
LARGEST_PAGE = 200

#: Days that the page looks back unless it is told otherwise.
DEFAULT_DAYS = 30

_DAY_MS = 24 * 3600 * 1000

TABS = {"attention": "Needs attention", "active": "Active", "all": "All"}

#: Fields that narrow the list, with what people call them.
FILTERS: Mapping[str, str] = {
    "type": "Operation",
    "status": "Status",
    "outcome": "Outcome",
    "freshness_state": "Freshness",
    "problem_class": "Problem",
    "reason": "Reason",
    "reconciled": "Reconciled",
    "workspace_id": "Workspace",
    "tenant_id": "Tenant",
    "mine": "Mine",
    "since": "Since",
    "until": "Until",
}

#: What else may stand in the URL of the page.
OTHERS = ("tab", "period", "cursor")


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on, and the query without it."""

    label: str
    value: str
    without: str


def read_filter(
    fields: Fields,
    *,
    scopes: tuple[Scope, ...],
    user_id: str,
    limit: int = PAGE,
) -> RunFilter:
    """The filter that the fields of a URL name.

    Raises:
        BadInput: with the field that is wrong.
    """
    reason = fields.choice("reason", list(Reason))
    mine = fields.flag("mine")
    tab = fields.choice("tab", TABS)
    return RunFilter(
        status=fields.choice("status", list(Status)),
        outcome=fields.choice("outcome", list(Outcome)),
        operation=fields.text("type", longest=100),
        tenant_id=fields.text("tenant_id", longest=64),
        workspace_id=fields.text("workspace_id", longest=64),
        freshness_state=fields.choice("freshness_state", list(Freshness)),
        problem_class=fields.choice("problem_class", list(ProblemClass)),
        reason=reason,
        reconciled=fields.flag("reconciled"),
        initiator_id=user_id if mine else None,
        attention=tab == "attention",
        active=tab == "active",
        since_ms=fields.moment_ms("since"),
        until_ms=fields.moment_ms("until"),
        before=read_cursor(fields),
        limit=limit,
        scopes=scopes,
    )


def default_since_ms(fields: Fields) -> int | None:
    """From when on the page shows runs, if nothing says so."""
    if fields.text("since") or fields.choice("period", ("all",)) == "all":
        return None
    return int(time.time() * 1000) - DEFAULT_DAYS * _DAY_MS


def cursor_after(run: Mapping[str, Any]) -> str:
    """Where the page after this run begins."""
    moment = datetime.fromisoformat(run["created_at"])
    text = f"{round(moment.timestamp() * 1000)}:{run['id']}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(fields: Fields) -> tuple[int, str] | None:
    """Where a page begins; None for the first.

    Raises:
        BadInput: the cursor is none that a page has given out.
    """
    text = fields.text("cursor", longest=200)
    if text is None:
        return None
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        moment, _, run_id = decoded.decode().partition(":")
        if not (moment.isascii() and moment.isdigit() and len(moment) < 16 and is_run_id(run_id)):
            raise ValueError(text)
        return int(moment), run_id
    except (binascii.Error, ValueError):
        raise BadInput(
            "cursor", text, expected="one that a page has given", mend="begin at the first page"
        ) from None


def chips_of(fields: Fields, labels: Mapping[str, str]) -> list[Chip]:
    """The filters that are on; the days that are looked back among them."""
    kept = [(name, value) for name, value in fields.pairs if name != "cursor"]
    chips = []
    for name, value in kept:
        if name in FILTERS:
            without = urlencode([pair for pair in kept if pair != (name, value)])
            chips.append(Chip(FILTERS[name], _readable(name, value, labels), without))
    if default_since_ms(fields) is not None:
        chips.append(Chip("Period", f"last {DEFAULT_DAYS} days", urlencode([*kept, _ALL_TIME])))
    return chips


_ALL_TIME = ("period", "all")


def with_tab(fields: Fields, tab: str) -> str:
    """The query of the same list under another tab."""
    kept = [(name, value) for name, value in fields.pairs if name not in ("tab", "cursor")]
    return urlencode([("tab", tab), *kept])


def without_cursor(fields: Fields) -> str:
    """The query of the first page of the same list."""
    return urlencode([pair for pair in fields.pairs if pair[0] != "cursor"])


def choices(labels: Mapping[str, str]) -> dict[str, Sequence[tuple[str, str]]]:
    """What the fields of the form that have a fixed choice may hold: value and label."""
    return {
        "type": sorted(labels.items(), key=lambda item: item[1]),
        "status": [(status, words.STATES[status].text) for status in _ACTIVE]
        + [("completed", "Completed")],
        "outcome": [(outcome, words.STATES[outcome].text) for outcome in _ENDED],
        "freshness_state": [(name, badge.text) for name, badge in words.FRESHNESS.items()],
        "problem_class": list(words.PROBLEMS.items()),
        "reconciled": [("true", "Yes"), ("false", "No")],
        "mine": [("true", "Started by me")],
    }


_ACTIVE = (Status.QUEUED, Status.RUNNING)
_ENDED = tuple(outcome for outcome in Outcome if outcome is not Outcome.PENDING)


def _readable(name: str, value: str, labels: Mapping[str, str]) -> str:
    if name == "type":
        return labels.get(value, value)
    if name in ("reconciled", "mine"):
        return "yes" if value == "true" else "no"
    known = {**{key: badge.text for key, badge in words.STATES.items()}, **words.PROBLEMS}
    known |= {key: badge.text for key, badge in words.FRESHNESS.items()}
    return known.get(value, value)
