"""Syncing one policy: a version when its content is another, and no id that is none."""

from __future__ import annotations

from typing import Any

import pytest

from lastword.reasons import Blocked, PermanentFailure
from tests.integration.test_baselines import drift, small
from tests.stage import POLICIES, Stage, assert_sums

__all__ = ["small"]


def test_one_policy_has_a_version_only_when_its_content_is_another(small: Stage) -> None:
    policy = small.objects("configurationPolicies")[0]
    assert small.one(policy["id"], "settingsCatalog").counts["created"] == 1
    policy["lastModifiedDateTime"] = "2026-01-01T00:00:00Z"
    assert small.one(policy["id"], "settingsCatalog").counts["unchanged"] == 1
    drift(small, "change_setting", nth=0)
    run = small.one(policy["id"], "settingsCatalog")
    assert (run.counts["created"], run.counts["total"]) == (1, 1)
    assert [row["number"] for row in small.rows("version")] == [1, 2]


def test_one_policy_that_is_gone_is_marked_so(small: Stage) -> None:
    small.policies()
    gone = small.objects("configurationPolicies").pop(0)
    run = small.run()
    with pytest.raises(PermanentFailure, match="404"):
        small.one(gone["id"], "settingsCatalog", run)
    assert small.missing() == {gone["id"]}
    assert_sums(run)


@pytest.mark.parametrize("policy_id", ["", "../x", "a/b", "a?b=c", "é", 7, "x" * 200])
def test_what_is_no_id_is_never_made_a_part_of_a_path(small: Stage, policy_id: Any) -> None:
    asked = len(small.provider.journal())
    with pytest.raises(Blocked):
        small.one(policy_id, POLICIES[0])
    assert len(small.provider.journal()) == asked


# Objects that are hard to hold


@pytest.mark.parametrize(
    "name", ["nul \0 inside", "half \ud83d a pair", "\u202ertl", "x" * 3000, ""]
)
def test_a_policy_of_any_name_is_captured_backed_up_and_previewed(small: Stage, name: str) -> None:
    small.objects("deviceConfigurations")[0]["displayName"] = name
    run = small.capture(small.profile("deviceConfiguration"))
    assert (run.outcome, run.counts["succeeded"]) == ("succeeded", 5)
    backup = small.back_up("deviceConfiguration")
    assert backup.counts["items"] == 5
    restore_id = small.previewed(str(backup.context["backup_set_id"]))
    assert {item.decision for item in small.items(restore_id)} == {"unchanged"}


def test_a_policy_of_ten_megabytes_is_one_like_any_other(small: Stage) -> None:
    policy = small.objects("deviceConfigurations")[0]
    policy["description"] = "x" * 10_000_000
    run = small.capture(small.profile("deviceConfiguration"))
    assert (run.outcome, run.counts["succeeded"]) == ("succeeded", 5)
    assert run.counts["bytes"] > 10_000_000
    assert small.one(policy["id"], "deviceConfiguration").counts["unchanged"] == 1
