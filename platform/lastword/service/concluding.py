"""The verb of type-specific reconcilers: the domain's own record holds the end of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lastword.counts import Number
from lastword.identity import RunId
from lastword.reasons import SENTENCES, Reason
from lastword.service import moves
from lastword.service.attempts import end_attempts
from lastword.service.moves import SAME_ATTEMPT, SAME_DISPATCH, Move
from lastword.service.reserving import NOT_IN_HAND
from lastword.states import CONCLUDE, Outcome, Source, Status
from lastword.storage.ledger import Ledger, Row, as_json


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a domain record says of a run that is still active.

    Attributes:
        attempt: of the run, as it was read.
        dispatch: of the run, as it was read.
        source: the reconciler.
        outcome: how the work ended.
        reason: why, if it did not succeed.
        evidence: the record as it was seen, as JSON values.
        counts: what the work had counted.
        age_s: for how long the record has held the end, in seconds.
    """

    run_id: RunId
    attempt: int
    dispatch: int
    source: Source
    outcome: Outcome
    reason: Reason | None
    evidence: Mapping[str, Any]
    counts: Mapping[str, Number] = field(default_factory=dict)
    age_s: float = 0.0


#: A live worker that just took a queued run finds the record itself, and says so.
_CONCLUDE = Move(
    arrow=CONCLUDE,
    columns={
        "run_id": "text",
        "attempt": "integer",
        "dispatch": "integer",
        "outcome": "text",
        "reason": "text",
        "source": "text",
        "summary_counts": "text",
        "reconciliation": "text",
    },
    writes={
        "outcome": "item_outcome",
        "reason": "item_reason",
        "closed_by": "item_source",
        "summary_counts": "item_summary_counts",
        "reconciliation": "item_reconciliation",
    },
    guards=(SAME_ATTEMPT, SAME_DISPATCH, f"(status = '{Status.RUNNING}' OR {NOT_IN_HAND})"),
    details=("reconciliation",),
)


class Concluding:
    """Arrow 12: as the domain says."""

    ledger: Ledger

    def conclude(self, conclusions: Sequence[Conclusion]) -> list[RunId]:
        """Give runs the end that their domain records hold; the runs that were ended.

        An attempt that still works on one is fenced, and interrupted with its next heartbeat.
        """
        moved: list[Row] = []
        sources: dict[Source, list[dict[str, Any]]] = {}
        for conclusion in conclusions:
            sources.setdefault(conclusion.source, []).append(_item(conclusion))
        with self.ledger.transaction():
            for source, items in sources.items():
                rows = moves.apply(self.ledger, _CONCLUDE, items, by=source)
                end_attempts(self.ledger, rows, items)
                moved += rows
        return [RunId(row["id"]) for row in moved]


def _item(conclusion: Conclusion) -> dict[str, Any]:
    reconciliation = {
        "kind": "reconciled",
        "source": conclusion.source,
        "reason": Reason.ADAPTER_OUT_OF_SYNC,
        "sentence": SENTENCES[Reason.ADAPTER_OUT_OF_SYNC],
        "evidence": dict(conclusion.evidence),
        "threshold_s": None,
        "age_s": conclusion.age_s,
    }
    return {
        "run_id": conclusion.run_id,
        "attempt": conclusion.attempt,
        "dispatch": conclusion.dispatch,
        "outcome": conclusion.outcome,
        "reason": conclusion.reason,
        "source": conclusion.source,
        "summary_counts": as_json(dict(conclusion.counts)),
        "reconciliation": as_json(reconciliation),
        "ending": "closed",
    }
