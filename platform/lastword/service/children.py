"""Runs that are made of runs: a parent counts its children, and ends with the last of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from lastword.reasons import Reason
from lastword.states import Outcome
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

#: Guard: the run is not made of others.
HAS_NO_CHILDREN = "children = 0"

#: Guard: nothing is left to wait for.
NO_CHILD_IS_OPEN = "children_open = 0"

#: Guard: the attempt has returned, and the run waits for its children.
HAS_RETURNED = "returned_at IS NOT NULL"
HAS_NOT_RETURNED = "returned_at IS NULL"

#: When a run that waits for its children has heard of none for too long: each of them has its own
#: bound, so this is only for the case that one of them cannot end.
WAITS_UNTIL = "{now} + max_queue_wait_ms + running_stale_ms"


def adopt(ledger: Ledger, accepted: Sequence[Row]) -> None:
    """Let the parents of runs that were just accepted wait for them."""
    born: dict[str, int] = defaultdict(int)
    for row in accepted:
        if row["parent_id"] is not None:
            born[row["parent_id"]] += 1
    if not born:
        return
    source = ledger.dialect.batch({"run_id": "text", "born": "integer"})
    ledger.lock_runs(list(born))
    ledger.execute(
        "UPDATE lastword_run SET children = children + item_born, "
        f"children_open = children_open + item_born FROM {source} AS item "
        "WHERE id = item_run_id AND completed_at IS NULL",
        as_batch([{"run_id": run_id, "born": count} for run_id, count in born.items()]),
    )


def count_off(ledger: Ledger, ended: Sequence[Row]) -> list[Row]:
    """Count ended runs off their parents; the parents that have nothing left to wait for.

    Called in the transaction that ended them, so a child is counted if and only if it ended.
    """
    tallies: dict[str, dict[str, Any]] = {}
    for row in ended:
        parent_id = row["parent_id"]
        if parent_id is None:
            continue
        tally = tallies.setdefault(parent_id, {"run_id": parent_id, "ended": 0, "succeeded": 0})
        tally["ended"] += 1
        tally["succeeded"] += int(row["outcome"] == Outcome.SUCCEEDED)
    if not tallies:
        return []
    source = ledger.dialect.batch({"run_id": "text", "ended": "integer", "succeeded": "integer"})
    ledger.lock_runs(list(tallies))
    rows = ledger.execute(
        "UPDATE lastword_run SET children_open = children_open - item_ended, "
        "children_succeeded = children_succeeded + item_succeeded, "
        f"stale_at = CASE WHEN {HAS_RETURNED} THEN {WAITS_UNTIL} ELSE stale_at END "
        f"FROM {source} AS item WHERE id = item_run_id AND completed_at IS NULL "
        "RETURNING id, children, children_open, children_succeeded, summary_counts, failures, "
        "returned_at".replace("{now}", ledger.dialect.now_ms),
        as_batch(list(tallies.values())),
    )
    return [row for row in rows if row["children_open"] == 0 and row["returned_at"] is not None]


def gathered(parent: Row) -> dict[str, Any]:
    """The item with which a parent's end is moved: its own story, and its children's numbers."""
    failures = json.loads(parent["failures"])
    reason = failures[0]["code"] if failures else None
    if parent["children_succeeded"] < parent["children"]:
        reason = Reason.CHILDREN_FAILED
    counts = {**children_counts(parent), **json.loads(parent["summary_counts"])}
    return {"run_id": parent["id"], "reason": reason, "summary_counts": as_json(counts)}


def children_counts(row: Mapping[str, Any]) -> dict[str, int]:
    """How far the children of a run are, under the keys of `summary_counts`."""
    if not row["children"]:
        return {}
    processed = row["children"] - row["children_open"]
    return {
        "total": row["children"],
        "processed": processed,
        "succeeded": row["children_succeeded"],
        "failed": processed - row["children_succeeded"],
    }
