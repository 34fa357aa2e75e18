"""What each operation needs before it may be done; asked at its start and again before its work."""

from __future__ import annotations

from collections.abc import Mapping

from lastword.config import Config
from lastword.legitimacy import Asked, Preflight
from lastword.service.requests import Denial
from lastword.storage.ledger import Ledger
from lastword_jobs.baselines.capturing import require_profile
from lastword_jobs.baselines.comparing import require_comparable
from lastword_jobs.provider.connections import require_connection
from lastword_jobs.restores.executing import require_ready
from lastword_jobs.reviews.composing import require_evidence
from lastword_jobs.reviews.packing import require_review


def _all(*preflights: Preflight) -> Preflight:
    def each(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
        for preflight in preflights:
            denied = preflight(ledger, config, asked)
            if denied is not None:
                return denied
        return None

    return each


#: By operation. Evidence is not here: what the provider cannot tell is a gap and no refusal.
PREFLIGHTS: Mapping[str, Preflight] = {
    "inventory_sync": require_connection,
    "policy.sync": require_connection,
    "policy.sync_one": require_connection,
    "entra_group_sync": require_connection,
    "directory_role_definitions.sync": require_connection,
    "baseline_capture": _all(require_profile, require_connection),
    "baseline_compare": _all(require_comparable, require_connection),
    "backup_schedule_run": require_connection,
    "restore.execute": _all(require_ready, require_connection),
    "tenant.review.compose": require_evidence,
    "tenant.review_pack.generate": require_review,
}
