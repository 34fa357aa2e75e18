"""The gate's rules, one by one: scope before person, person before tenant."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from lastword.access import CAPABILITIES, Capability, Role, may
from lastword.legitimacy import Asked, judge
from lastword.reading.standing import Standing
from lastword.reasons import Reason
from tests.support import policy

GOOD = Standing(home="acme", writable=True, user_known=True, role=Role.OWNER)
ADA = Asked("report.build", "acme", "contoso", "ada")
SYSTEM = replace(ADA, initiator_id=None)
WRITES = replace(policy(), writes=True, capability=Capability.RESTORE)


def reason(standing: Standing, asked: Asked = ADA) -> Reason | None:
    denied = judge(standing, asked, WRITES)
    return denied.reason if denied else None


def test_an_owner_in_good_standing_may() -> None:
    assert reason(GOOD) is None
    assert reason(GOOD, SYSTEM) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"home": None}, Reason.TENANT_MISSING),
        ({"tenant_removed": True}, Reason.TENANT_MISSING),
        ({"home": "other"}, Reason.WORKSPACE_MISMATCH),
        ({"workspace_suspended": True}, Reason.TENANT_NOT_ENTITLED),
        ({"user_known": False, "role": None}, Reason.INITIATOR_MISSING),
        ({"user_disabled": True}, Reason.INITIATOR_NOT_ENTITLED),
        ({"role": None}, Reason.INITIATOR_NOT_ENTITLED),
        ({"tenants": ("fabrikam",)}, Reason.INITIATOR_NOT_ENTITLED),
        ({"role": Role.OPERATOR}, Reason.MISSING_CAPABILITY),
        ({"tenant_suspended": True}, Reason.TENANT_NOT_OPERABLE),
        ({"writable": False}, Reason.WRITE_GATE_BLOCKED),
    ],
)
def test_each_rule_has_its_reason(changes: dict[str, object], expected: Reason) -> None:
    assert reason(replace(GOOD, **changes)) is expected  # type: ignore[arg-type]


def test_the_system_needs_no_person_but_a_tenant_in_order() -> None:
    nobody = replace(GOOD, user_known=False, role=None)
    assert reason(nobody, SYSTEM) is None
    assert reason(replace(nobody, tenant_suspended=True), SYSTEM) is Reason.TENANT_NOT_OPERABLE
    assert reason(replace(nobody, writable=False), SYSTEM) is Reason.WRITE_GATE_BLOCKED


def test_a_denial_does_not_tell_a_stranger_what_state_the_tenant_is_in() -> None:
    stranger = replace(GOOD, role=None, tenant_suspended=True, writable=False)
    assert reason(stranger) is Reason.INITIATOR_NOT_ENTITLED


def test_an_operation_that_only_reads_does_not_ask_for_the_write_gate() -> None:
    assert judge(replace(GOOD, writable=False), ADA, policy()) is None


def test_each_role_may_all_that_the_one_before_it_may() -> None:
    granted = [CAPABILITIES[role] for role in Role]
    assert all(less < more for less, more in itertools.pairwise(granted))
    assert granted[-1] == set(Capability)


def test_an_unknown_role_may_nothing() -> None:
    assert not may("emperor", Capability.VIEW)
    assert not may(None, Capability.VIEW)
