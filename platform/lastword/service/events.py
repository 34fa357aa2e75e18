"""The rows of events, appended in the transaction of what they tell, and their lines of log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lastword.logs import Line, log_transition
from lastword.service.counters import Counted, count
from lastword.states import TERMINAL, Arrow, EventKind, Source
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import Ledger, Row, as_batch, as_json

_EVENT_COLUMNS: Mapping[str, ColumnType] = {
    "run_id": "text",
    "at": "integer",
    "kind": "text",
    "source": "text",
    "attempt": "integer",
    "worker_id": "text",
    "outcome": "text",
    "reason": "text",
    "terminal": "integer",
    "detail": "text",
}


def event_of(row: Row, arrow: Arrow, *, by: Source, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a transition left, as the row of its event."""
    kept = {key: value for key, value in told.items() if key != "reason" and value is not None}
    return {
        "run_id": row["id"],
        "at": row["changed_at"],
        "kind": arrow.kind,
        "source": by,
        "attempt": row["attempt"],
        "worker_id": row["worker_id"],
        "outcome": row["outcome"],
        "reason": row["reason"] or told.get("reason"),
        "terminal": int(arrow.target in TERMINAL),
        "detail": as_json(kept) if kept else None,
    }


def told_of(
    arrow: Arrow, *, at: str = "changed_at", outcome: str = "outcome", reason: str = "reason"
) -> str:
    """The events of runs that their worker moved, selected from `moved` by the database.

    Most transitions are of this kind, and nothing is told of them but what the run's row says.

    Args:
        arrow: the transition.
        at: when it was, by the columns of the moved run.
        outcome: which outcome the run had then.
        reason: and which reason.
    """
    terminal = str(arrow.target in TERMINAL).upper()
    return (
        f"SELECT id, {at}, '{arrow.kind}', '{Source.WORKER}', attempt, worker_id, "
        f"{outcome}, {reason}, {terminal} FROM moved"
    )


def appended(*selected: str) -> str:
    """Appends events that `told_of` selects, in this order."""
    return (
        "INSERT INTO lastword_event "
        "(run_id, at, kind, source, attempt, worker_id, outcome, reason, terminal) "
        + " UNION ALL ".join(selected)
    )


def write_events(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> None:
    """Append events."""
    if events:
        ledger.execute(_appending(ledger), as_batch(events))


def _appending(ledger: Ledger) -> str:
    names = ", ".join(_EVENT_COLUMNS)
    picked = ", ".join(
        f"item_{name} = 1" if name == "terminal" else f"item_{name}" for name in _EVENT_COLUMNS
    )
    source = ledger.dialect.batch(_EVENT_COLUMNS)
    return f"INSERT INTO lastword_event ({names}) SELECT {picked} FROM {source} AS item"


def write_late_results(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> None:
    """Keep results that came too late to count: one event and one count for each attempt.

    One is kept once per attempt, however often it is reported.

    Args:
        ledger: where.
        events: of kind `late_result`; each with its run's `operation` beside the columns.
    """
    if not events:
        return
    kept = ledger.execute(
        f"{_appending(ledger)} WHERE NOT EXISTS (SELECT 1 FROM lastword_event "
        f"WHERE kind = '{EventKind.LATE_RESULT}' AND run_id = item_run_id "
        "AND attempt = item_attempt) RETURNING run_id, attempt, outcome",
        as_batch(events),
    )
    for event in kept:
        operation = next(item["operation"] for item in events if item["run_id"] == event["run_id"])
        count(ledger, Counted.LATE_RESULTS, operation)
        ledger.after_commit(
            partial(
                log_transition,
                EventKind.LATE_RESULT,
                run=event["run_id"],
                operation=operation,
                attempt=event["attempt"],
                outcome=event["outcome"],
            )
        )


def lines_of(
    moved: Sequence[Row], arrow: Arrow, told: Mapping[str, Mapping[str, Any]], by: Source
) -> list[Line]:
    """What the log says of transitions. Only of its last one has a run a reason of its own."""
    is_last = arrow.target in TERMINAL
    return [
        Line(
            run=row["id"],
            event=arrow.kind,
            operation=row["operation"],
            outcome=row["outcome"] if is_last else None,
            reason=(row["reason"] if is_last else None)
            or (told[row["id"]].get("reason") if told else None),
            attempt=row["attempt"],
            source=by,
            worker=row["worker_id"],
        )
        for row in moved
    ]
