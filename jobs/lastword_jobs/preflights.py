"""What each operation needs before it may be done; asked at its start and again before its work."""

from __future__ import annotations

from collections.abc import Mapping
from pkgutil import resolve_name

from lastword.config import Config
from lastword.legitimacy import Asked, Preflight
from lastword.service.requests import Denial
from lastword.storage.ledger import Ledger


def _at(place: str) -> Preflight:
    # Imported when it is first asked: every application loads this mapping, and one that does other
    # work has installed nothing of what these operations need.
    def asked_there(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
        preflight: Preflight = resolve_name(f"lastword_jobs.{place}")
        return preflight(ledger, config, asked)

    return asked_there


def _all(*preflights: Preflight) -> Preflight:
    def each(ledger: Ledger, config: Config, asked: Asked) -> Denial | None:
        for preflight in preflights:
            denied = preflight(ledger, config, asked)
            if denied is not None:
                return denied
        return None

    return each


_connection = _at("provider.connections:require_connection")
_profile = _at("baselines.capturing:require_profile")
_comparable = _at("baselines.comparing:require_comparable")
_ready = _at("restores.executing:require_ready")

#: By operation. Evidence is not here: what the provider cannot tell is a gap and no refusal.
PREFLIGHTS: Mapping[str, Preflight] = {
    "inventory_sync": _connection,
    "policy.sync": _connection,
    "policy.sync_one": _connection,
    "entra_group_sync": _connection,
    "directory_role_definitions.sync": _connection,
    "baseline_capture": _all(_profile, _connection),
    "baseline_compare": _all(_comparable, _connection),
    "backup_schedule_run": _connection,
    "restore.execute": _all(_ready, _connection),
    "tenant.review.compose": _at("reviews.composing:require_evidence"),
    "tenant.review_pack.generate": _at("reviews.packing:require_review"),
}
