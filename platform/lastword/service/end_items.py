"""What a statement is told of an end, and what it writes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lastword.reasons import SENTENCES, Reason
from lastword.service.values import AttemptEnd
from lastword.states import Outcome, Source
from lastword.storage.dialects import ColumnType
from lastword.storage.ledger import as_json

#: The columns of the items, by type.
END_COLUMNS: Mapping[str, ColumnType] = {
    "run_id": "text",
    "attempt": "integer",
    "worker_id": "text",
    "outcome": "text",
    "reason": "text",
    "summary_counts": "text",
    "failures": "text",
    "context": "text",
    "reconciliation": "text",
}

#: What a run keeps of the attempt that ended it.
FACTS = {
    "summary_counts": "COALESCE(item_summary_counts, '{}')",
    "failures": "COALESCE(item_failures, '[]')",
    "context": "COALESCE(item_context, '{}')",
}

#: What a move writes that ends a run.
END_WRITES = {"outcome": "item_outcome", "reason": "item_reason", **FACTS}


def end_item(end: AttemptEnd) -> dict[str, Any]:
    """What a statement is told of an end."""
    # Without what most have not: each word of it is written and read for every job.
    told: dict[str, Any] = {
        "run_id": end.run_id,
        "attempt": end.attempt,
        "worker_id": end.worker_id,
        "outcome": end.outcome,
    }
    if end.reason:
        told["reason"] = end.reason
    if end.counts:
        told["summary_counts"] = as_json(end.counts)
    if end.failures:
        told["failures"] = as_json(list(end.failures))
    if end.context:
        told["context"] = as_json(end.context)
    return told


def ended_item(end: AttemptEnd) -> dict[str, Any]:
    """What statements are told of an end and of its attempt."""
    told = {
        **end_item(end),
        "reason": end.reason,
        "ending": end.outcome,
        "diagnostics": end.diagnostics,
    }
    if end.outcome is Outcome.FAILED and end.reason:
        told["reconciliation"] = bridged(end.reason)
    return told


def bridged(reason: Reason, evidence: str = "") -> str:
    """How a run says that the queue's own failure was carried onto it, and why."""
    return as_json(
        {
            "kind": "bridged",
            "source": Source.BRIDGE,
            "reason": reason,
            "sentence": SENTENCES[reason],
            "evidence": {"queue": evidence} if evidence else {},
        }
    )
