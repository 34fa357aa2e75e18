"""A run as a page shows it: with its badges, its age and its counts in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastword.counts import Number
from lastword.states import Status
from lastword.storage.ledger import Row
from lastword.web import words
from lastword.web.rendering import seconds_between


def shown_run(run: Row) -> dict[str, Any]:
    """A run of a list, with what people see of it."""
    badges = [words.state_badge(run["status"], run["outcome"])]
    freshness = words.freshness_badge(run["freshness_state"])
    if freshness is not None:
        badges.append(freshness)
    if run["outcome"] == "failed" and words.is_infrastructure(run["reason_code"]):
        badges.append(words.INFRASTRUCTURE_BADGE)
    return {
        **run,
        "badges": badges,
        "duration_s": seconds_between(run["started_at"], run["completed_at"]),
        "counted": counted(run["summary_counts"]),
        "progress": progress_of(run),
        "sentence": words.sentence_of(run["reason_code"]),
    }


def progress_of(run: Row) -> tuple[Number, Number] | None:
    """Done and total, where both are known and can be believed; None else."""
    if run["status"] != Status.RUNNING:
        return None
    done, total = (run["summary_counts"].get(name) for name in ("processed", "total"))
    if done is None or total is None or not 0 <= done <= total or total <= 0:
        return None
    return done, total


def counted(counts: Mapping[str, Number]) -> str:
    """What a run has counted, in one line, without what is nothing."""
    said = []
    done, total = counts.get("processed"), counts.get("total")
    if done is not None and total is not None:
        said.append(f"{done} of {total}")
    said += [
        f"{value} {name.replace('_', ' ')}"
        for name, value in counts.items()
        if name not in ("processed", "total", "succeeded") and value
    ]
    return ", ".join(said)
