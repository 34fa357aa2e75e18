"""The normaliser on a whole tenant: it finds what drifts and nothing else; bodies are taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lastword_jobs.content.differences import Difference, Op, differences
from lastword_jobs.content.documents import Captured, Content, Json, Names, Part
from lastword_jobs.content.normalising import normalise
from lastword_jobs.content.restoring import (
    References,
    assign_body,
    create_body,
    rules_body,
    secrets_of,
    update_body,
    with_secrets,
)
from lastword_jobs.graph.contracts import BY_TYPE, CONTRACTS, Contract
from tests.provider import TENANT, Provider

POLICIES = [contract for contract in CONTRACTS if contract.is_policy]

Read = dict[tuple[str, str], Captured]


def read(provider: Provider) -> Read:
    """Every policy as an operation would read it, taken from the server's own memory for speed."""
    tenant = provider.graph.tenants[TENANT]
    found: Read = {}
    for contract in POLICIES:
        collection = contract.path.rpartition("/")[2]
        collection = "conditionalAccessPolicies" if collection == "policies" else collection
        for entity in tenant.collections[collection]:
            id_ = entity["id"]
            rules = tenant.actions.get(id_)
            whole = {**entity, "scheduledActionsForRule": rules} if rules else entity
            captured = Captured(
                contract.type,
                whole,
                tenant.settings.get(id_, []),
                tenant.assignments.get(id_, []),
            )
            found[contract.type, id_] = Captured.from_document(_copy(captured.document()))
    return found


def names(provider: Provider) -> Names:
    tenant = provider.graph.tenants[TENANT]

    def of(collection: str) -> dict[str, str]:
        return {item["id"]: item["displayName"] for item in tenant.collections[collection]}

    return Names(
        of("groups"), of("assignmentFilters"), of("roleScopeTags"),
        of("notificationMessageTemplates"),
    )  # fmt: skip


def contents(provider: Provider) -> dict[tuple[str, str], Content]:
    known = names(provider)
    return {key: normalise(captured, known) for key, captured in read(provider).items()}


def drifted(provider: Provider, name: str, collection: str, nth: int) -> list[Difference]:
    before = contents(provider)
    provider.drift(name, collection=collection, nth=nth)
    after = contents(provider)
    assert before.keys() == after.keys()
    return [difference for key in before for difference in differences(before[key], after[key])]


@pytest.mark.parametrize(
    "collection", ["configurationPolicies", "deviceConfigurations", "deviceCompliancePolicies"]
)
def test_a_changed_setting_is_one_difference_and_the_only_one(
    provider: Provider, collection: str
) -> None:
    for nth in range(5):
        [found] = drifted(provider, "change_setting", collection, nth)
        assert found.part is Part.SETTINGS
        assert found.op is Op.CHANGED
        assert "0" not in found.path.split("/")


@pytest.mark.parametrize(
    ("drift", "part", "op"),
    [
        ("change_tags", Part.SCOPE_TAGS, Op.ADDED),
        ("add_assignment", Part.ASSIGNMENTS, Op.ADDED),
        ("drop_assignment", Part.ASSIGNMENTS, Op.REMOVED),
    ],
)
def test_what_is_compared_apart_drifts_apart(
    provider: Provider, drift: str, part: Part, op: Op
) -> None:
    [found] = drifted(provider, drift, "deviceConfigurations", 0)
    assert (found.part, found.op) == (part, op)


def test_a_rename_is_no_difference_of_content(provider: Provider) -> None:
    assert drifted(provider, "rename", "deviceConfigurations", 0) == []


def test_no_content_holds_an_id_of_its_tenant(provider: Provider) -> None:
    tenant = provider.graph.tenants[TENANT]
    ids = {
        item["id"]
        for collection in ("groups", "assignmentFilters", "notificationMessageTemplates")
        for item in tenant.collections[collection]
    }
    for content in contents(provider).values():
        assert content.unresolved == () or content.type == "conditionalAccess"
        text = str(content.document())
        assert not [id_ for id_ in ids if id_ in text]


def test_a_policy_that_is_written_back_is_what_it_was(provider: Provider) -> None:
    before = {key: captured for key, captured in read(provider).items() if _is_written(key)}
    known = contents(provider)
    plain = {key: _plain(provider, captured) for key, captured in before.items()}
    references = _same(provider)
    provider.drift("wipe")
    provider.lab("rules", scale=0)
    token = provider.ask_token().json()["access_token"]
    new: dict[tuple[str, str], tuple[str, str]] = {}
    for key, captured in before.items():
        contract = BY_TYPE[captured.type]
        whole = with_secrets(captured, plain[key])
        made = provider.send("POST", contract.listing, create_body(whole, references), token=token)
        assert made.status_code == 201, made.text
        id_ = made.json()["id"]
        new[key] = captured.type, id_
        _assign(provider, contract, id_, captured, references, token)
    after = contents(provider)
    for key, now in new.items():
        assert differences(known[key], after[now]) == []


def test_a_policy_that_drifted_is_brought_back_in_its_place(provider: Provider) -> None:
    before, known = read(provider), contents(provider)
    references = _same(provider)
    for collection in ("configurationPolicies", "deviceConfigurations", "deviceCompliancePolicies"):
        for nth, drift in enumerate(("change_setting", "change_tags", "add_assignment")):
            provider.drift(drift, collection=collection, nth=nth)
    changed = contents(provider)
    token = provider.ask_token().json()["access_token"]
    drifted_keys = [key for key in known if differences(known[key], changed[key])]
    assert len(drifted_keys) == 9
    for key in drifted_keys:
        captured, contract = before[key], BY_TYPE[key[0]]
        target = read(provider)[key].entity
        body = update_body(with_secrets(captured, {}, target=target), references)
        path = f"{contract.listing}/{key[1]}"
        done = provider.send(contract.update, path, body, token=token)
        assert done.status_code in (200, 204), done.text
        rules = rules_body(captured, references)
        if rules is not None:
            done = provider.send("POST", contract.part(key[1], contract.rules), rules, token=token)
            assert done.status_code in (200, 204), done.text
        _assign(provider, contract, key[1], captured, references, token)
    after = contents(provider)
    assert [key for key in known if differences(known[key], after[key])] == []


def _assign(
    provider: Provider,
    contract: Contract,
    id_: str,
    captured: Captured,
    references: References,
    token: str,
) -> None:
    body = assign_body(captured, references)
    done = provider.send("POST", contract.part(id_, "assign"), body, token=token)
    assert done.status_code == 200, done.text


def _is_written(key: tuple[str, str]) -> bool:
    return key[0] != "conditionalAccess"


def _same(provider: Provider) -> References:
    tenant = provider.graph.tenants[TENANT]

    def of(collection: str) -> Mapping[str, str]:
        return {item["id"]: item["id"] for item in tenant.collections[collection]}

    return References(
        of("groups"), of("assignmentFilters"), of("roleScopeTags"),
        of("notificationMessageTemplates"),
    )  # fmt: skip


def _plain(provider: Provider, captured: Captured) -> dict[str, str]:
    secrets = provider.graph.tenants[TENANT].secrets
    return {secret.oma_uri: secrets[secret.reference] for secret in secrets_of(captured.entity)}


def _copy(value: Json) -> Json:
    copied: dict[str, Any] = json.loads(json.dumps(value))
    return copied
