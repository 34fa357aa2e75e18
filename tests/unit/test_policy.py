"""Lifecycle policies: what a table may say, what is derived, which rules hold them together."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastword.errors import ConfigError
from lastword.policy import OnLoss, Policy
from lastword.policy_tables import REQUIRED_KEYS, policy_from_table

REQUIRED: dict[str, Any] = {
    "label": "Build report",
    "time_limit": 10,
    "queued_stale_after": 20,
    "running_stale_after": 30,
}

DURATIONS = [
    "expected_max_runtime",
    "time_limit",
    "queued_stale_after",
    "running_stale_after",
    "max_queue_wait",
    "min_backoff",
    "max_backoff",
]

PLACE = 'a test, [operations."report.build"]: '


def read(table: dict[str, Any]) -> Policy:
    return policy_from_table("report.build", table, origin="a test")


def faults(**changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read({**REQUIRED, **changes})
    assert all(fault.startswith(PLACE) for fault in caught.value.faults)
    return [fault.removeprefix(PLACE) for fault in caught.value.faults]


@pytest.mark.parametrize("key", REQUIRED_KEYS)
def test_a_required_key_that_is_missing_is_named(key: str) -> None:
    table = {name: value for name, value in REQUIRED.items() if name != key}
    with pytest.raises(ConfigError) as caught:
        read(table)
    [fault] = caught.value.faults
    assert fault.startswith(f"{PLACE}{key} is missing; expected a ")


def test_every_fault_of_a_table_is_reported_at_once() -> None:
    found = faults(time_limit=-1, label="", colour="red", max_retries=1.5)
    assert len(found) == 4
    assert "unknown key 'colour'; expected one of label, " in " ".join(found)


@pytest.mark.parametrize("key", DURATIONS)
@pytest.mark.parametrize(
    "value", [True, 0, -1, -0.5, math.nan, math.inf, -math.inf, 10**400, "10", None, [10]]
)
def test_what_is_no_duration_is_refused(key: str, value: Any) -> None:
    [fault] = faults(**{key: value})
    assert fault.startswith(f"{key} is {value!r}; expected a number of seconds above 0")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("label", "", "a text that is not empty"),
        ("label", 7, "a text that is not empty"),
        ("max_retries", True, "a whole number, 0 to 2147483647"),
        ("max_retries", -1, "a whole number, 0 to 2147483647"),
        ("max_retries", 1.0, "a whole number, 0 to 2147483647"),
        ("max_deliveries", 0, "a whole number, 1 to 2147483647"),
        ("max_deliveries", True, "a whole number, 1 to 2147483647"),
        ("on_worker_lost", "retry", "'fail' or 'redispatch'"),
        ("on_worker_lost", ["fail"], "'fail' or 'redispatch'"),
        ("on_message_lost", {"fail": 1}, "'fail' or 'redispatch'"),
        ("direct_bridge", 1, "true or false"),
        ("reconcilers", [], "a list of reconciler names with 'generic' among them"),
        ("reconcilers", "generic", "a list of reconciler names with 'generic' among them"),
        ("reconcilers", [1], "a list of reconciler names with 'generic' among them"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(key: str, value: Any, expected: str) -> None:
    assert faults(**{key: value}) == [f"{key} is {value!r}; expected {expected}"]


def test_the_derived_defaults_are_conservative_about_effects() -> None:
    policy = read(REQUIRED)
    assert (policy.on_worker_lost, policy.on_message_lost) == (OnLoss.FAIL, OnLoss.REDISPATCH)
    assert (policy.max_retries, policy.max_deliveries, policy.direct_bridge) == (3, 3, True)
    assert policy.expected_max_runtime == 5
    assert policy.reconcilers == ("generic",)


def test_a_policy_survives_the_ledger() -> None:
    policy = read({**REQUIRED, "reconcilers": ["generic", "adapter"], "on_worker_lost": "fail"})
    assert Policy.from_document(policy.document()) == policy
    newer = {**policy.document(), "key_of_a_newer_version": 1}
    assert Policy.from_document(newer) == policy


def test_the_version_is_stable_and_changes_with_any_field() -> None:
    policy = read(REQUIRED)
    assert policy.version == read(dict(reversed(REQUIRED.items()))).version
    others: dict[str, Any] = {
        "operation": "other",
        "label": "Other",
        "on_worker_lost": OnLoss.REDISPATCH,
        "on_message_lost": OnLoss.FAIL,
        "direct_bridge": False,
        "reconcilers": ("generic", "adapter"),
    }
    versions = {policy.version}
    for field in fields(Policy):
        other = others.get(field.name, 999)
        versions.add(replace(policy, **{field.name: other}).version)
    assert len(versions) == 1 + len(fields(Policy))


@given(st.permutations(sorted({**REQUIRED, "max_retries": 3, "direct_bridge": True}.items())))
def test_the_version_does_not_depend_on_the_order_of_the_table(
    items: list[tuple[str, Any]],
) -> None:
    assert read(dict(items)).version == read(REQUIRED).version
