"""The normaliser's rules one by one: what is noise, what is not, and what is told honestly."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastword_jobs.content.differences import Op, differences
from lastword_jobs.content.documents import Captured, Content, Json, MalformedContent, Names, Part
from lastword_jobs.content.noise import DEEPEST, NO_ID
from lastword_jobs.content.normalising import normalise, portable_key
from lastword_jobs.content.restoring import (
    Missing,
    References,
    assign_body,
    create_body,
    secrets_of,
    unmapped,
    with_secrets,
)

GROUP, OTHER, FILTER = "11111111-aaaa", "22222222-bbbb", "33333333-cccc"
NAMES = Names(groups={GROUP: "Pilots"}, filters={FILTER: "Corporate"}, scope_tags={"7": "Berlin"})


def content(*, type_: str = "deviceConfiguration", names: Names = NAMES, **entity: Any) -> Content:
    return normalise(Captured(type_, {"displayName": "P", **entity}), names)


def assigned(*targets: Json, names: Names = NAMES) -> Content:
    assignments = [{"id": f"a{n}", "source": "direct", "target": t} for n, t in enumerate(targets)]
    captured = Captured("deviceConfiguration", {"displayName": "P"}, (), assignments)
    return normalise(captured, names)


def catalog(*instances: Json) -> Content:
    items = [{"id": str(n), "settingInstance": item} for n, item in enumerate(instances)]
    return normalise(Captured("settingsCatalog", {"name": "P"}, items), NAMES)


def choice(definition: str, value: str, *children: Json) -> Json:
    return {
        "@odata.type": "#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance",
        "settingDefinitionId": definition,
        "settingInstanceTemplateReference": {"settingInstanceTemplateId": "t"},
        "choiceSettingValue": {"value": value, "children": list(children)},
    }


def to_group(group: str = GROUP, **more: Any) -> Json:
    return {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group, **more}


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_not_configured_is_said_in_many_ways(nothing: Any) -> None:
    assert content(a=nothing, b=1) == content(b=1)


@pytest.mark.parametrize("something", [False, 0])
def test_false_and_zero_are_configured(something: Any) -> None:
    assert content(a=something) != content()


@pytest.mark.parametrize(
    "noise",
    [
        {"id": "x", "version": 7, "lastModifiedDateTime": "now", "isAssigned": True},
        {"assignments@odata.context": "https://", "#microsoft.graph.assign": {"target": "x"}},
        {"supportsScopeTags": True, "settingCount": 4, "creationSource": "portal"},
        {"qualityUpdatesPauseStartDate": "2026-01-01", "featureUpdatesWillBeRolledBack": True},
    ],
)
def test_what_graph_says_of_an_object_is_no_part_of_it(noise: Json) -> None:
    assert content(**noise) == content()


def test_a_type_is_the_same_with_and_without_its_hash() -> None:
    def typed(entity: Json) -> Content:
        return normalise(Captured("deviceConfiguration", entity), NAMES)

    plain, hashed = ({"@odata.type": f"{mark}microsoft.graph.x"} for mark in ("", "#"))
    assert typed(plain) == typed(hashed)
    assert typed(plain) != typed({"@odata.type": "microsoft.graph.y"})


@pytest.mark.parametrize(
    "same", ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00.0000000Z", "2026-03-01T11:00:00+01:00"]
)
def test_moments_are_compared_as_moments_and_texts_verbatim(same: str) -> None:
    assert content(at=same) == content(at="2026-03-01T10:00:00.000Z")
    assert content(at="2026-03-01T10:00:00 Z") != content(at="2026-03-01T10:00:00  Z")


def test_a_secret_is_never_kept_and_its_reference_is_no_drift() -> None:
    def oma(value: str, reference: str) -> Content:
        setting = {"omaUri": "./x", "value": value, "isEncrypted": True}
        return content(omaSettings=[{**setting, "secretReferenceValueId": reference}])

    assert oma("****", "one") == oma("plain", "two")
    assert "plain" not in str(oma("plain", "two").document())


def test_no_filter_is_said_in_three_ways() -> None:
    key, kind = (
        "deviceAndAppManagementAssignmentFilterId",
        "deviceAndAppManagementAssignmentFilterType",
    )
    forms: list[Json] = [{}, {key: None, kind: "none"}, {key: NO_ID, kind: "none"}]
    assert len({assigned(to_group(**form)).fingerprint(Part.ASSIGNMENTS) for form in forms}) == 1
    filtered = assigned(to_group(**{key: FILTER, kind: "include"}))
    assert filtered.assignments == (
        {"target": "group", "group": "Pilots", "filter": "Corporate", "filter_type": "include"},
    )


def test_assignments_are_a_set_without_ids() -> None:
    everyone = {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}
    assert assigned(to_group(), everyone) == assigned(everyone, to_group(), to_group())
    assert assigned(everyone).assignments == ({"target": "allDevices"},)


def test_what_nobody_can_name_is_told_and_stays_different() -> None:
    unknown = assigned(to_group(OTHER))
    assert unknown.unresolved == ("group (...222-bbbb)",)
    assert unknown != assigned(to_group("99999999-ffff"))
    assert OTHER not in str(unknown.document())


def test_the_same_policy_in_another_tenant_is_the_same() -> None:
    elsewhere = Names(groups={OTHER: "Pilots"})
    assert assigned(to_group()) == assigned(to_group(OTHER), names=elsewhere)


def test_settings_are_known_by_what_they_define_and_not_by_their_place() -> None:
    one, two = choice("one", "one_1"), choice("two", "two_0", choice("child", "child_1"))
    assert catalog(one, two) == catalog(two, one)
    assert catalog(one, two).settings["settings"] == {
        "one": "one_1",
        "two": {"value": "two_0", "children": {"child": "child_1"}},
    }
    [found] = differences(catalog(one, two), catalog(one, choice("two", "two_0")))
    assert (found.path, found.op) == ("settings/two", Op.CHANGED)


def test_what_sets_nothing_known_or_belongs_to_the_tenant_is_left_out() -> None:
    blob = choice("device_vendor_msft_windowsadvancedthreatprotection_onboardingblob", "x")
    assert catalog(choice("", "x"), blob, choice("a", "1")) == catalog(choice("a", "1"))


def test_a_collection_is_a_set() -> None:
    def paths(*values: str) -> Content:
        return catalog(
            {
                "settingDefinitionId": "paths",
                "simpleSettingCollectionValue": [{"value": value} for value in values],
            }
        )

    assert paths("a", "b") == paths("b", "a")
    [added] = differences(paths("a", "b"), paths("b", "c", "a"))
    assert (added.path, added.op, added.new) == ("settings/paths", Op.ADDED, "c")


@pytest.mark.parametrize(
    "captured",
    [
        Captured("settingsCatalog", {"name": "P"}, [{"id": "0"}]),
        Captured("settingsCatalog", {"name": "P"}, ["x"]),  # type: ignore[list-item]
        Captured("deviceConfiguration", {"displayName": "P"}, (), [{"id": "a"}]),
        Captured("deviceCompliance", {"displayName": "P", "scheduledActionsForRule": [1]}),
        Captured("deviceConfiguration", [1]),  # type: ignore[arg-type]
        Captured("deviceConfiguration", {"displayName": "P", "roleScopeTagIds": "0"}),
    ],
)
def test_what_is_not_shaped_as_graph_shapes_it_is_refused(captured: Captured) -> None:
    with pytest.raises(MalformedContent):
        normalise(captured, NAMES)


def test_a_document_that_is_nested_without_end_is_refused_and_not_followed() -> None:
    deep: Json = {}
    for _ in range(DEEPEST * 20):
        deep = {"a": deep, "b": 1}
    with pytest.raises(MalformedContent, match="deeper"):
        content(x=deep)


@pytest.mark.parametrize(
    "name",
    ["\0", "\ud800", "\u202eabc", "\u00e9", "e\u0301", "\U0001f3f4\u200d\u2620", "x" * 2000],
)
def test_every_kind_of_name_has_a_key_and_a_fingerprint(name: str) -> None:
    assert len(content(displayName=name).fingerprint_of_all) == 64
    assert portable_key(name, "t").startswith("t:")


def test_a_name_is_found_again_however_it_is_written() -> None:
    assert portable_key("\uff37in  -\t\u00c9 ", "t") == portable_key("win - e\u0301", "t")
    assert portable_key("a", "t") != portable_key("a", "u")


def test_four_hundred_settings_are_compared_one_by_one() -> None:
    many = [choice(f"s{n}", f"s{n}_1") for n in range(400)]
    changed = [*many[:200], choice("s200", "s200_0"), *many[201:]]
    [found] = differences(catalog(*many), catalog(*changed))
    assert (found.path, found.old, found.new) == ("settings/s200", "s200_1", "s200_0")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abcdef"), _JSON, max_size=5), st.randoms())
def test_order_and_noise_never_make_a_difference(entity: Json, chance: random.Random) -> None:
    shuffled = list(entity.items())
    chance.shuffle(shuffled)
    noise = {"id": chance.random(), "version": chance.randrange(9), "a@odata.context": "x"}
    one = normalise(Captured("deviceConfiguration", {**entity}), NAMES)
    other = normalise(Captured("deviceConfiguration", {**noise, **dict(shuffled)}), NAMES)
    assert one == other
    assert differences(one, other) == []
    assert Content.from_document(one.document()) == one


@given(*[st.dictionaries(st.sampled_from("abc"), _JSON, max_size=3)] * 2)
def test_there_are_differences_exactly_where_fingerprints_differ(old: Json, new: Json) -> None:
    one, other = (normalise(Captured("deviceConfiguration", item), NAMES) for item in (old, new))
    equal = all(one.fingerprint(part) == other.fingerprint(part) for part in Part)
    assert (differences(one, other) == []) is equal


# Bodies


def test_what_the_target_does_not_have_is_told_and_left_out() -> None:
    assignments = [{"target": to_group()}, {"target": to_group(OTHER)}]
    captured = Captured("deviceConfiguration", {"roleScopeTagIds": ["0", "7"]}, (), assignments)
    references = References(groups={GROUP: "new"})
    assert unmapped(captured, references) == [Missing("group", OTHER), Missing("scope_tag", "7")]
    body = assign_body(captured, references)
    assert [item["target"]["groupId"] for item in body["assignments"]] == ["new"]
    assert create_body(captured, references) == {"roleScopeTagIds": ["0"]}


def test_stars_are_never_written_back() -> None:
    hidden = {"omaUri": "./x", "value": "****", "isEncrypted": True, "secretReferenceValueId": "r"}
    captured = Captured("deviceConfiguration", {"omaSettings": [hidden, {"omaUri": "./y"}]})
    assert [secret.oma_uri for secret in secrets_of(captured.entity)] == ["./x"]

    def written(**more: Any) -> list[Json]:
        body = create_body(with_secrets(captured, **more), References())
        settings: list[Json] = body["omaSettings"]
        return settings

    assert written(plain={}) == [{"omaUri": "./y"}]
    assert written(plain={"./x": "s"}) == [{"omaUri": "./x", "value": "s"}, {"omaUri": "./y"}]
    own = {**hidden, "secretReferenceValueId": "own"}
    assert written(plain={}, target={"omaSettings": [own]})[0] == own
