"""Delta queries of the local Graph: all groups once, then changes, and an end to every token."""

from __future__ import annotations

from typing import Any

import pytest

from lastword_jobs.graph_server.query import token_of
from lastword_jobs.graph_server.rules import DELTA_LIFETIME_S
from tests.provider import TENANT, Provider

DELTA = "v1.0/groups/delta"

Group = dict[str, Any]


def round_of(provider: Provider, link: str = DELTA) -> tuple[list[Group], str, int]:
    """Every group of one round, the link to the next, and how many pages it took."""
    token = provider.ask_token().json()["access_token"]
    groups: list[Group] = []
    pages = 0
    while True:
        answer = provider.ask(link, token)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        groups += body["value"]
        pages += 1
        if "@odata.deltaLink" in body:
            assert "@odata.nextLink" not in body
            return groups, body["@odata.deltaLink"], pages
        link = body["@odata.nextLink"]


def latest(provider: Provider) -> str:
    groups, link, pages = round_of(provider, f"{DELTA}?$deltatoken=latest")
    assert (groups, pages) == ([], 1)
    return link


def test_the_first_round_lists_every_group_and_the_next_one_nothing(provider: Provider) -> None:
    groups, link, pages = round_of(provider)
    assert (len({group["id"] for group in groups}), pages) == (2000, 20)
    assert link.startswith(f"{provider.url}/{DELTA}?$deltatoken=")
    assert round_of(provider, link)[0] == []


def test_a_round_tells_what_was_made_renamed_and_deleted_each_once(provider: Provider) -> None:
    link = latest(provider)
    body = {
        "displayName": "New",
        "mailEnabled": False,
        "mailNickname": "new",
        "securityEnabled": True,
    }
    made = provider.send("POST", "v1.0/groups", body).json()["id"]
    renamed = provider.drift("rename_group", nth=1)["id"]
    provider.drift("rename_group", nth=1)
    provider.send("PATCH", f"v1.0/groups/{made}", {"description": "x"})
    deleted = provider.drift("delete_group", nth=0)["id"]
    groups, link, pages = round_of(provider, link)
    told = {group["id"]: group for group in groups}
    assert (set(told), len(groups), pages) == ({made, renamed, deleted}, 3, 1)
    assert told[made]["description"] == "x"
    assert told[renamed]["displayName"].endswith(" (renamed) (renamed)")
    assert told[deleted] == {"id": deleted, "@removed": {"reason": "deleted"}}
    assert round_of(provider, link)[0] == []


def test_a_group_that_may_be_restored_is_told_as_changed(provider: Provider) -> None:
    link = latest(provider)
    groups = provider.graph.tenants[TENANT].collections["groups"]
    unified = next(group["id"] for group in groups if "Unified" in group["groupTypes"])
    provider.send("DELETE", f"v1.0/groups/{unified}")
    assert round_of(provider, link)[0] == [{"id": unified, "@removed": {"reason": "changed"}}]


def test_many_changes_come_in_pages(provider: Provider) -> None:
    link = latest(provider)
    for nth in range(250):
        provider.drift("rename_group", nth=nth)
    groups, _, pages = round_of(provider, link)
    assert (len({group["id"] for group in groups}), pages) == (250, 3)


def test_what_changes_during_a_round_is_told_by_the_next(provider: Provider) -> None:
    page = provider.ask(DELTA).json()
    first = page["value"][0]["id"]
    provider.drift("delete_group", id=first)
    groups, link, _ = round_of(provider, page["@odata.nextLink"])
    assert len({group["id"] for group in page["value"] + groups}) == 2000
    assert round_of(provider, link)[0] == [{"id": first, "@removed": {"reason": "deleted"}}]


def test_what_is_selected_first_stays_selected(provider: Provider) -> None:
    groups, link, _ = round_of(provider, f"{DELTA}?$select=displayName")
    assert {tuple(sorted(group)) for group in groups} == {("displayName", "id")}
    provider.drift("rename_group")
    [renamed] = round_of(provider, link)[0]
    assert set(renamed) == {"displayName", "id"}
    assert provider.ask(f"{link}&$select=id").status_code == 400


def test_changes_may_be_told_again(provider: Provider) -> None:
    link = latest(provider)
    provider.drift("rename_group", nth=1)
    _, link, _ = round_of(provider, link)
    provider.lab("rules", delta_replay=1)
    assert len(round_of(provider, link)[0]) == 1


def test_a_token_of_more_than_seven_days_is_gone_and_leads_to_a_full_round(
    provider: Provider,
) -> None:
    clock = provider.stop_time()
    link = latest(provider)
    clock.wait(DELTA_LIFETIME_S)
    assert provider.ask(link).status_code == 200
    clock.wait(1)
    answer = provider.ask(link)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "syncStateNotFound")
    assert len(round_of(provider, answer.headers["Location"])[0]) == 2000


def test_a_token_of_before_the_seed_is_gone(provider: Provider) -> None:
    link = latest(provider)
    provider.lab("seed", tenant=TENANT, size="S")
    assert provider.ask(link).status_code == 410


@pytest.mark.parametrize(
    "options",
    [
        "$top=5",
        "$expand=members",
        "$orderby=displayName",
        "$filter=displayName eq 'x'",
        "$select=colour",
        "$deltatoken=nonsense",
        "$skiptoken=nonsense",
        f"$deltatoken={token_of([1, 2])}",
        f"$skiptoken={token_of([0, None, 0, 9e9, None, -100, ''])}",
        "$deltatoken=latest&$skiptoken=x",
        "$deltatoken=latest&$select=colour",
    ],
)
def test_an_option_that_delta_queries_do_not_take_is_refused(
    provider: Provider, options: str
) -> None:
    assert provider.ask(f"{DELTA}?{options}").status_code == 400
