"""One run: what is the matter with it, the evidence, its story; and what can be done about it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from lastword.access import Capability
from lastword.errors import StartRefused
from lastword.identity import LONGEST_ID, RunId
from lastword.reading.audit import AuditFilter, list_audit
from lastword.reading.evidence import surroundings_of
from lastword.reading.runs import show_run
from lastword.repeating import repeat_run
from lastword.service import RunService
from lastword.service.cancelling import Cancelled
from lastword.service.notifying import mark_read
from lastword.states import Status
from lastword.storage.ledger import Row
from lastword.web.asking import Asked, NotFound
from lastword.web.fields import BadInput
from lastword.web.guarding import Entry
from lastword.web.headlines import headline_of
from lastword.web.rendering import seconds_between
from lastword.web.shown import shown_run

#: Characters of the reason that somebody gives for an action.
LONGEST_WHY = 300

#: Audit events that a run's page shows at most.
MOST_EVENTS = 50


def run_page(asked: Asked) -> Response:
    """The page of a run. Whoever started it has read its notification by opening it."""
    asked.query.only({"notice", "diagnostics"})
    run = find_run(asked)
    if run["initiator_id"] == asked.person.user_id and run["status"] == Status.COMPLETED:
        mark_read(asked.ledger, asked.person.user_id, run["id"])
    return asked.page(
        "run.html",
        **_shown(asked, run),
        notice=asked.query.text("notice", longest=30),
        diagnostics=asked.query.flag("diagnostics") or False,
    )


def live(asked: Asked) -> Response:
    """What changes on the page of a run, for whoever has it open."""
    return asked.fragment("run_live.html", **_shown(asked, find_run(asked)))


def diagnostics(asked: Asked) -> Response:
    """What exceptions said, attempt by attempt: shown to those who ask for it."""
    return asked.part("run_diagnostics.html", run=find_run(asked))


def cancel(asked: Asked) -> Response:
    """End a run: at once if nobody works on it, else by asking its worker to stop."""
    run = find_run(asked)
    _require(asked, run, Capability.CANCEL)
    why = _why(asked)
    answer = RunService(asked.ledger).cancel(
        [RunId(run["id"])], by=asked.person.name, actor=asked.actor, because=why
    )
    became = answer.get(RunId(run["id"]))
    if became is None:
        return asked.go(run["url"], notice="ended_already")
    return asked.go(
        run["url"], notice="cancelled" if became is Cancelled.CANCELLED else "asked_to_stop"
    )


def retry(asked: Asked) -> Response:
    """Do a run that has ended again, as a new run that names it."""
    run = find_run(asked)
    policy = asked.config.policies.get(run["type"])
    _require(asked, run, Capability(policy.capability) if policy else Capability.START)
    why = _why(asked)
    if policy is None or policy.manual_review:
        raise StartRefused(
            f"operation {run['type']!r} is not repeated as it is",
            mend="look at what the run has done, then start a new one",
        )
    again = repeat_run(asked.ledger, RunId(run["id"]), actor=asked.actor, because=why)
    return asked.go(f"/admin/operations/{again.run_id}", notice=again.result)


def find_run(asked: Asked) -> Row:
    """The run that the path names.

    Raises:
        NotFound: it can be no run's id.
        UnknownRun: there is none, or not for whoever asks.
    """
    run_id = str(asked.path["run"])
    if not 0 < len(run_id) <= LONGEST_ID or not run_id.isprintable():
        raise NotFound
    scopes = asked.person.scopes_with(Capability.VIEW)
    return show_run(asked.ledger, run_id, labels=asked.site.labels, scopes=scopes)


def _require(asked: Asked, run: Row, capability: Capability) -> None:
    asked.require(
        capability,
        workspace_id=run["workspace_id"],
        tenant_id=run["tenant_id"],
        target_id=run["id"],
    )


def _why(asked: Asked) -> str:
    asked.form.only({"why"})
    why = asked.form.text("why", longest=LONGEST_WHY)
    if why is None or not why.strip():
        raise BadInput("why", "empty", expected="a reason, for those who read the audit log")
    return why.strip()


def _shown(asked: Asked, run: Row) -> dict[str, Any]:
    around = surroundings_of(asked.ledger, run["id"])
    person, place = asked.person, (run["workspace_id"], run["tenant_id"])
    events: list[Row] = []
    audit_scopes = person.scopes_with(Capability.VIEW)
    if person.sees(*place):
        # What was done to a run is told to all who may see it; the whole log is for others.
        wanted = AuditFilter(scopes=audit_scopes, run_id=run["id"], limit=MOST_EVENTS)
        events = list_audit(asked.ledger, wanted)
    policy = asked.config.policies.get(run["type"])
    ended = run["status"] == Status.COMPLETED
    repeatable = policy is not None and not policy.manual_review
    return {
        "run": shown_run(run),
        "headline": headline_of(
            run,
            around,
            sweep_interval=asked.config.sweep_interval,
            lease_ttl=asked.config.lease_ttl,
        ),
        "around": around,
        "timeline": _timeline(run),
        "audit": events,
        "may_cancel": not ended and person.may(Capability.CANCEL, *place),
        "may_retry": ended
        and repeatable
        and policy is not None
        and person.may(Capability(policy.capability), *place),
        "late": [event for event in run["events"] if event["kind"] == "late_result"],
    }


def _timeline(run: Row) -> list[dict[str, Any]]:
    """What happened to a run, in order, with how long after the line before."""
    lines: list[dict[str, Any]] = []
    before: str | None = None
    for event in run["events"]:
        lines.append({**event, "after_s": seconds_between(before, event["at"])})
        before = event["at"]
    return lines


ENTRIES = (
    Entry("/admin/operations/{run}", run_page),
    Entry("/admin/operations/{run}/live", live),
    Entry("/admin/operations/{run}/diagnostics", diagnostics),
    Entry("/admin/operations/{run}/cancel", cancel, method="POST"),
    Entry("/admin/operations/{run}/retry", retry, method="POST"),
)
