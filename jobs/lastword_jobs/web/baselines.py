"""Baselines: what tenants are meant to be like, captured from one, compared with another."""

from __future__ import annotations

from starlette.responses import Response

from lastword.access import Capability
from lastword.storage.ledger import Row
from lastword.web.asking import Asked, NotFound
from lastword.web.guarding import Entry
from lastword.web.notices import tenant_page
from lastword.web.starts import start_here
from lastword_jobs.baselines.findings import ACCEPTED, OPEN, RESOLVED, accept_finding
from lastword_jobs.baselines.records import BaselineProfile, BaselineSnapshot, Finding, add_profile
from lastword_jobs.graph.contracts import POLICY_TYPES
from lastword_jobs.web.lists import MOST, chosen_types, latest, path_of, readable

_STATES = (OPEN, ACCEPTED, RESOLVED)


def baselines(asked: Asked) -> Response:
    """The profiles of the workspace, and what was found of this tenant."""
    status = asked.query.choice("status", _STATES) or OPEN
    order = [Finding.severity, Finding.type, Finding.name, Finding.id]
    return tenant_page(
        asked,
        "baselines.html",
        fields=frozenset({"status"}),
        profiles=_profiles(asked),
        findings=latest(
            asked.ledger, Finding, asked.here.tenant_id, order=order, where=Finding.status == status
        ),
        shown_status=status,
        states=_STATES,
        types=POLICY_TYPES,
        most=MOST,
    )


def new_profile(asked: Asked) -> Response:
    """Add a profile to the workspace."""
    asked.form.only({"name", "type", "mode"})
    add_profile(
        asked.ledger,
        workspace_id=asked.here.workspace_id,
        name=asked.form.required("name", longest=200),
        types=chosen_types(asked) or POLICY_TYPES,
        mode=asked.form.choice("mode", ("content", "meta")) or "content",
        actor=asked.actor,
    )
    return asked.go(path_of(asked, "baselines"))


def capture(asked: Asked) -> Response:
    """Take what this tenant is like as what others are to be like."""
    return _start(asked, "baseline_capture")


def compare(asked: Asked) -> Response:
    """Compare this tenant with a profile."""
    return _start(asked, "baseline_compare")


def accept(asked: Asked) -> Response:
    """Take a finding as it is."""
    asked.form.only({"finding"})
    finding_id = asked.form.required("finding", longest=64)
    tenant_id = asked.here.tenant_id
    if not accept_finding(asked.ledger, finding_id, tenant_id=tenant_id, actor=asked.actor):
        raise NotFound
    return asked.go(path_of(asked, "baselines"))


def _start(asked: Asked, operation: str) -> Response:
    asked.form.only({"profile"})
    profile_id = asked.form.required("profile", longest=64)
    if profile_id not in {profile["id"] for profile in _profiles(asked)}:
        raise NotFound
    inputs = {"profile_id": profile_id}
    return start_here(asked, operation, inputs, back=path_of(asked, "baselines"))


def _profiles(asked: Asked) -> list[Row]:
    query = (
        BaselineProfile.select(
            BaselineProfile,
            BaselineSnapshot.source_tenant_id,
            BaselineSnapshot.ended_at.alias("captured_at"),
        )
        .left_outer_join(
            BaselineSnapshot, on=(BaselineSnapshot.id == BaselineProfile.active_snapshot_id)
        )
        .where(BaselineProfile.workspace_id == asked.here.workspace_id)
        .order_by(BaselineProfile.name)
        .limit(MOST)
        .dicts()
    )
    with asked.ledger.session():
        return [readable(row) for row in query.execute(asked.ledger.database)]


ENTRIES = (
    Entry("/admin/t/{tenant}/baselines", baselines),
    Entry("/admin/t/{tenant}/baselines/profiles", new_profile, "POST", Capability.BASELINE),
    Entry("/admin/t/{tenant}/baselines/capture", capture, "POST", Capability.BASELINE),
    Entry("/admin/t/{tenant}/baselines/compare", compare, "POST", Capability.BASELINE),
    Entry("/admin/t/{tenant}/baselines/accept", accept, "POST", Capability.BASELINE),
)
