"""The one sentence over a run: what is the matter with it, since when, and what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lastword.reading.evidence import Surroundings
from lastword.reading.freshness import Freshness
from lastword.states import Status
from lastword.storage.ledger import Row
from lastword.times import to_iso
from lastword.web import words
from lastword.web.rendering import readable_duration, seconds_between


@dataclass(frozen=True, slots=True)
class Headline:
    """What stands over a run.

    Attributes:
        sentence: what people read first.
        verdict_at: when a reconciler looks at it next, in ISO 8601; None if none will.
        verdict: what that verdict is about.
        threshold_s: the limit that decides, in seconds.
        threshold: the key of the policy or of the configuration that holds it.
    """

    sentence: str
    verdict_at: str | None = None
    verdict: str = ""
    threshold_s: float | None = None
    threshold: str = ""


def headline_of(
    run: Row, around: Surroundings, *, sweep_interval: float, lease_ttl: float
) -> Headline:
    """The headline of a run.

    Args:
        run: as `show_run` gives it.
        around: what surrounds it.
        sweep_interval: how often reconcilers look, in seconds.
        lease_ttl: how long a worker's lease lives without renewal, in seconds.
    """
    if run["status"] == Status.COMPLETED:
        return Headline(_ended(run))
    if run["freshness_state"] == Freshness.LIKELY_STALE:
        return _stale(run, around, sweep_interval, lease_ttl)
    waits = run["status"] == Status.QUEUED
    threshold = "queued_stale_after" if waits else "running_stale_after"
    return Headline(
        _waiting(run, around) if waits else _working(run, around),
        verdict_at=to_iso(around.stale_at_ms),
        verdict="It becomes stale unless something is heard of it before",
        threshold_s=around.policy[threshold],
        threshold=threshold,
    )


def _ended(run: Row) -> str:
    how = words.STATES[run["outcome"]].text
    took_s = seconds_between(run["started_at"], run["completed_at"])
    after = f" after {readable_duration(took_s)}" if took_s is not None else ""
    because = words.sentence_of(run["reason_code"])
    if run["reconciled"]:
        by = words.SOURCES.get(run["evidence"]["closed_by"], "A reconciler")
        return f"Reconciled: the {by.lower()} closed it at {_clock(run['completed_at'])}. {because}"
    return f"{how}{after}: {because}" if because else f"{how}{after}{_healed(run)}."


def _healed(run: Row) -> str:
    lost = run["evidence"]["lost_deliveries"]
    if not lost:
        return ""
    workers = "a worker was" if lost == 1 else f"{lost} workers were"
    return f", on attempt {run['attempt']}: {workers} lost on the way"


def _stale(run: Row, around: Surroundings, sweep_interval: float, lease_ttl: float) -> Headline:
    waits = run["status"] == Status.QUEUED
    worker = around.worker
    swept_ms = around.swept_at_ms
    next_ms = max(around.now_ms, (swept_ms or 0) + int(sweep_interval * 1000))
    verdict_at = to_iso(next_ms) if swept_ms is not None else None
    then = (
        f"will be judged by {_clock(verdict_at)}"
        if verdict_at
        else "no reconciler has ever succeeded here, so nothing will be judged until one does"
    )
    past_ms = around.now_ms - (around.stale_at_ms or around.now_ms)
    if not waits and past_ms < 0 and worker is not None:
        gone_ms = worker["ended_at"] or worker["lease_until"]
        silent = readable_duration((around.now_ms - gone_ms) / 1000)
        seen = _clock(to_iso(worker["heartbeat_at"]))
        return Headline(
            f"Stale for {silent}: {_name(worker)} was last seen at {seen}, limit "
            f"{lease_ttl:g} s; {then}.",
            verdict_at,
            "The next sweep judges it",
            lease_ttl,
            "lease_ttl",
        )
    threshold = "queued_stale_after" if waits else "running_stale_after"
    since = run["created_at"] if waits else to_iso(around.claimed_at_ms)
    doing = "it has waited" if waits else "its attempt has worked"
    return Headline(
        f"Stale for {readable_duration(past_ms / 1000)}: {doing} since {_clock(since)}, limit "
        f"{around.policy[threshold]:g} s; {then}.",
        verdict_at,
        "The next sweep judges it",
        around.policy[threshold],
        threshold,
    )


def _waiting(run: Row, around: Surroundings) -> str:
    since = run["created_at"]
    due = run["available_at"]
    if datetime.fromisoformat(due).timestamp() * 1000 > around.now_ms:
        return f"Held back until {_clock(due)}."
    if run["evidence"]["holder"] and around.worker is not None:
        return f"Waits: {_name(around.worker)} has fetched it and not begun with it yet."
    again = f", try {run['attempt'] + 1}" if run["attempt"] else ""
    return f"Waits for a worker since {_clock(since)}{again}."


def _working(run: Row, around: Surroundings) -> str:
    evidence = run["evidence"]
    if evidence["children_open"]:
        return f"Waits for {evidence['children_open']} of the runs that it is made of."
    if around.worker is None:
        return "A worker is doing it."
    began = _clock(to_iso(around.claimed_at_ms))
    heard = _clock(to_iso(around.worker["heartbeat_at"]))
    asked = (
        f" It was asked to stop at {_clock(evidence['cancel_requested_at'])}."
        if evidence["cancel_requested_at"]
        else ""
    )
    return f"{_name(around.worker)} works on it since {began}, last heard of at {heard}.{asked}"


def _name(worker: dict[str, Any]) -> str:
    return f"Worker {worker['id'][-6:]} ({worker['host']}, process {worker['pid']})"


def _clock(iso: str | None) -> str:
    if iso is None:
        return "an unknown time"
    moment = datetime.fromisoformat(iso).astimezone(UTC)
    today = datetime.now(UTC).date() == moment.date()
    return moment.strftime("%H:%M:%S UTC" if today else "%Y-%m-%d %H:%M:%S UTC")
