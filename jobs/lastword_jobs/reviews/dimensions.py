"""The dimensions of evidence: what is known of each, where it is from, and how old it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lastword.reasons import Reason
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.findings import ACCEPTED, OPEN, findings_of
from lastword_jobs.directory.records import RoleDefinition
from lastword_jobs.graph.client import GraphClient
from lastword_jobs.graph.errors import PermissionDenied, RequestRefused, Unreachable
from lastword_jobs.graph.exchanges import Json

#: Milliseconds after which a measurement is stale.
STALE_AFTER_MS = 7 * 24 * 3600 * 1000

#: Milliseconds of runs that are summed up.
LOOK_BACK_MS = 30 * 24 * 3600 * 1000

_SUMMARY = "v1.0/deviceManagement/deviceCompliancePolicyDeviceStateSummary"
_SKUS = "v1.0/subscribedSkus"
_SCORES = "v1.0/security/secureScores"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one dimension.

    Attributes:
        payload: as JSON values; the same knowledge has the same payload.
        measured_at: when it was measured, by the database's clock; None if now.
        reason: why nothing is known.
    """

    payload: Json = field(default_factory=dict)
    measured_at: int | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dimension looks.

    Attributes:
        records: the operations' records, and the ledger.
        tenant_id: the tenant.
        graph: the provider; None if only what is recorded is wanted.
    """

    records: Ledger
    tenant_id: str
    graph: GraphClient | None


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dimension.

    Attributes:
        name: its key.
        source_kind: `records`, `ledger` or `provider`.
        required: whether a snapshot without it is not complete.
        look: finds out what is known.
    """

    name: str
    source_kind: str
    required: bool
    look: Callable[[Place], Known]


def findings(place: Place) -> Known:
    """Findings that are open, and those that somebody accepted."""
    listed = {
        status: [
            {
                "id": item.id,
                "type": item.type,
                "name": item.name,
                "kind": item.kind,
                "change": item.change,
                "severity": item.severity,
                "detail": item.detail["differences"],
            }
            for item in findings_of(place.records, place.tenant_id, status=status)
        ]
        for status in (OPEN, ACCEPTED)
    }
    return Known({"open": listed[OPEN], "accepted": listed[ACCEPTED]})


def baseline_posture(place: Place) -> Known:
    """What the last comparison of each baseline came to."""
    rows = _last_runs(place, "baseline_compare")
    if not rows:
        return Known(reason=Reason.MISSING_CONFIGURATION)
    open_ones = findings_of(place.records, place.tenant_id)
    by_severity = Counter(item.severity for item in open_ones)
    [last] = rows
    payload = {"outcome": last["outcome"], "open_by_severity": dict(sorted(by_severity.items()))}
    return Known(payload, measured_at=last["completed_at"])


def admin_roles(place: Place) -> Known:
    """The directory's roles: how many, and which are the tenant's own."""
    query = RoleDefinition.select().where(
        (RoleDefinition.tenant_id == place.tenant_id) & RoleDefinition.deleted_at.is_null()
    )
    with place.records.session():
        rows = list(query.order_by(RoleDefinition.name).execute(place.records.database))
    if not rows:
        return Known(reason=Reason.MISSING_CONFIGURATION)
    own = [row.name for row in rows if not row.built_in]
    payload = {"roles": len(rows), "custom": own}
    return Known(payload, measured_at=max(row.seen_at for row in rows))


def operations(place: Place) -> Known:
    """What became of the runs of the last thirty days, by operation and outcome."""
    param, now = place.records.dialect.param, place.records.dialect.now_ms
    with place.records.session():
        rows = place.records.execute(
            "SELECT operation, outcome, COUNT(*) AS runs FROM lastword_run "
            f"WHERE tenant_id = {param} AND completed_at > {now} - {LOOK_BACK_MS} "
            f"AND SUBSTR(operation, 1, 7) <> {param} GROUP BY operation, outcome "
            "ORDER BY operation, outcome",
            place.tenant_id,
            # Evidence of itself would be different each time.
            "tenant.",
        )
    if not rows:
        return Known(reason=Reason.MISSING_CONFIGURATION)
    runs: dict[str, dict[str, int]] = {}
    for row in rows:
        runs.setdefault(row["operation"], {})[row["outcome"]] = int(row["runs"])
    return Known({"runs": runs})


def device_compliance(place: Place) -> Known:
    """How many devices comply, as the provider sums it up."""
    return _asked(place, lambda graph: _numbers(graph.get(_SUMMARY)))


def licences(place: Place) -> Known:
    """What the tenant has bought, and how much of it is used."""

    def ask(graph: GraphClient) -> Json:
        skus = [sku for page in graph.pages(_SKUS) for sku in page.entities]
        used = {str(sku.get("skuPartNumber")): sku.get("consumedUnits") for sku in skus}
        return {"consumed": dict(sorted(used.items()))}

    return _asked(place, ask)


def secure_score(place: Place) -> Known:
    """The provider's own score of the tenant, the latest."""

    def ask(graph: GraphClient) -> Json:
        scores = [score for page in graph.pages(_SCORES) for score in page.entities]
        latest = max(scores, key=lambda score: str(score.get("createdDateTime")), default={})
        return {"current": latest.get("currentScore"), "most": latest.get("maxScore")}

    return _asked(place, ask)


DIMENSIONS = (
    Dimension("findings", "records", required=True, look=findings),
    Dimension("baseline_drift_posture", "records", required=True, look=baseline_posture),
    Dimension("entra_admin_roles", "records", required=True, look=admin_roles),
    Dimension("operations_summary", "ledger", required=True, look=operations),
    Dimension("device_compliance", "provider", required=False, look=device_compliance),
    Dimension("licences", "provider", required=False, look=licences),
    Dimension("secure_score", "provider", required=False, look=secure_score),
)


def _asked(place: Place, ask: Callable[[GraphClient], Json]) -> Known:
    if place.graph is None:
        return Known(reason=Reason.MISSING_CONFIGURATION)
    try:
        return Known(ask(place.graph))
    except (PermissionDenied, RequestRefused, Unreachable) as error:
        return Known(reason=error.reason)


def _numbers(document: Mapping[str, Any]) -> Json:
    return {
        key: value
        for key, value in sorted(document.items())
        if isinstance(value, int) and not isinstance(value, bool)
    }


def _last_runs(place: Place, operation: str) -> list[dict[str, Any]]:
    param = place.records.dialect.param
    with place.records.session():
        return place.records.execute(
            "SELECT outcome, completed_at FROM lastword_run "
            f"WHERE tenant_id = {param} AND operation = {param} "
            "AND outcome IN ('succeeded', 'partially_succeeded') "
            "ORDER BY completed_at DESC LIMIT 1",
            place.tenant_id,
            operation,
        )
