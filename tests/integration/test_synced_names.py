"""Names as odd as tenants have them, on their way from a local Graph into both databases."""

from __future__ import annotations

import json

import pytest

from tests.stage import Stage


@pytest.mark.parametrize(
    "name",
    [
        "Ünïcode — 配置策略 🛡️ سياسة",
        "e\u0301 and é",
        "'; DROP TABLE lastword_jobs_policy; --",
        "%s {0} $1 ?",
        "line\nbreak\ttab",
        "",
        "n" * 1024,
    ],
)
def test_a_name_is_kept_as_it_is(stage: Stage, name: str) -> None:
    [policy, *_] = stage.objects("configurationPolicies")
    policy["name"] = policy["description"] = name
    stage.policies("settingsCatalog")
    kept, meta, _ = stage.seen()[policy["id"]]
    assert (kept, meta["description"]) == (name, name)
    assert stage.policies("settingsCatalog").counts["unchanged"] == 90


def test_a_name_that_is_too_long_is_cut_and_a_change_of_its_end_still_seen(stage: Stage) -> None:
    [policy, *_] = stage.objects("configurationPolicies")
    policy["name"] = "🛡" * 5000 + "a"
    stage.policies("settingsCatalog")
    assert stage.seen()[policy["id"]][0] == "🛡" * 1024
    assert stage.policies("settingsCatalog").counts["unchanged"] == 90
    policy["name"] = "🛡" * 5000 + "b"
    assert stage.policies("settingsCatalog").counts["updated"] == 1


@pytest.mark.parametrize("oddity", ["nul \x00 inside", "half a pair \ud83d inside"])
def test_a_name_no_database_can_hold_does_not_end_the_run(stage: Stage, oddity: str) -> None:
    body = json.dumps({"value": [{"id": "1", "displayName": oddity, "description": oddity}]})
    for _ in range(2):
        stage.provider.fault(route="*/deviceConfigurations", status=200, body=body)
    assert stage.policies("deviceConfiguration").counts["created"] == 1
    name, _, _ = stage.seen()["1"]
    assert name.endswith(" inside")
    assert stage.policies("deviceConfiguration").counts["unchanged"] == 1
