"""The rows of attempts: begun with a claim, ended once by whatever ends or takes the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, Row, as_batch

#: Characters of an exception's text that are kept.
MAX_DIAGNOSTICS = 20_000


_ENDED_COLUMNS: Mapping[str, ColumnType] = {
    "run_id": "text",
    "number": "integer",
    "at": "integer",
    "ending": "text",
    "reason": "text",
    "diagnostics": "text",
}


#: Begins the attempts of the runs in `moved`, which were claimed just now.
BEGUN = (
    "INSERT INTO lastword_attempt (run_id, number, worker_id, started_at) "
    "SELECT id, attempt, worker_id, claimed_at FROM moved"
)

#: Ends the attempts of the runs in `moved`, which have ended with them.
RETURNED = (
    "UPDATE lastword_attempt SET ended_at = moved.changed_at, ending = moved.outcome, "
    "reason = moved.reason FROM moved "
    "WHERE run_id = moved.id AND number = moved.attempt AND ended_at IS NULL"
)

#: Both for runs that were claimed and have ended with one statement.
BEGUN_AND_RETURNED = (
    "INSERT INTO lastword_attempt "
    "(run_id, number, worker_id, started_at, ended_at, ending, reason) "
    "SELECT id, attempt, worker_id, claimed_at, changed_at, outcome, reason FROM moved"
)


def end_attempts(ledger: Ledger, moved: Sequence[Row], items: Sequence[Mapping[str, Any]]) -> None:
    """End the attempts of the runs that moved, as their items say (`ending`, `diagnostics`)."""
    if not moved:
        return
    by_run = {item["run_id"]: item for item in items}
    measure_endings(ledger, ((row["operation"], by_run[row["id"]]["ending"]) for row in moved))
    source = ledger.dialect.batch(_ENDED_COLUMNS)
    ledger.execute(
        "UPDATE lastword_attempt SET ended_at = item_at, ending = item_ending, "
        f"reason = item_reason, diagnostics = item_diagnostics FROM {source} AS item "
        "WHERE run_id = item_run_id AND number = item_number AND ended_at IS NULL",
        as_batch([_ended(row, by_run[row["id"]]) for row in moved]),
    )


def measure_endings(ledger: Ledger, ended: Iterable[tuple[str, str]]) -> None:
    """Count attempts that have ended: of which operation, and how."""
    for labels, number in Counter(ended).items():
        ledger.measure("run_attempts", labels, number)


def _ended(row: Row, item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": row["id"],
        "number": row["attempt"],
        "at": row["changed_at"],
        "ending": item["ending"],
        "reason": item["reason"],
        "diagnostics": (item.get("diagnostics") or "")[:MAX_DIAGNOSTICS] or None,
    }
