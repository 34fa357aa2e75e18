"""The list of runs and the page of one: what they say, from the ledger alone."""

from __future__ import annotations

import html
import re

import pytest

from lastword.access import Role
from lastword.reading.freshness import Freshness
from lastword.reading.runs import RunFilter, list_runs
from lastword.reasons import Reason
from lastword.states import Outcome
from lastword.web.run_queries import PAGE
from tests.web.pages import badges, listed, stale, text_of
from tests.web.world import FOREIGN, FOREIGN_TENANT, OTHER_TENANT, OWN_TENANT, World


def test_each_state_has_its_badges_in_words(web: World) -> None:
    runs = {
        web.run(): ["Queued", "Fresh"],
        web.running(tenant=OTHER_TENANT): ["Running", "Fresh"],
        stale(web): ["Running", "Stale"],
        web.ended(): ["Succeeded"],
        web.ended(Outcome.PARTIALLY_SUCCEEDED): ["Partly done"],
        web.ended(Outcome.FAILED, reason=Reason.PERMISSION_DENIED): ["Failed"],
        web.ended(Outcome.FAILED, reason=Reason.UNKNOWN_ACTOR): [
            "Failed",
            "Infrastructure failure",
        ],
        web.reconciled(): ["Failed", "Reconciled", "Infrastructure failure"],
        web.blocked(): ["Blocked"],
    }
    page = web.get("/admin/operations").text
    assert {run: badges(page, run) for run in runs} == runs
    assert listed(page) == list(runs)[::-1]


def test_the_tabs_hold_what_they_say(web: World) -> None:
    late, waiting = stale(web), web.run(tenant=OTHER_TENANT)
    failed, blocked = web.reconciled(), web.blocked()
    web.ended()
    tabs = {
        tab: listed(web.get(f"/admin/operations?tab={tab}").text) for tab in ("attention", "active")
    }
    assert tabs == {"attention": [blocked, failed, late], "active": [waiting, late]}
    counts = web.get("/admin/operations/counts").text
    assert re.findall(r'data-count="(\w+)">([^<]*)<', counts) == [
        ("attention", "3"),
        ("active", "2"),
        ("all", "5"),
    ]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status=running", {"stale", "running"}),
        ("status=completed", {"ended", "reconciled", "blocked"}),
        ("outcome=blocked", {"blocked"}),
        ("outcome=pending", {"queued", "stale", "running"}),
        ("type=inventory_sync", {"running"}),
        (f"tenant_id={OTHER_TENANT}", {"running"}),
        ("freshness_state=likely_stale", {"stale"}),
        ("freshness_state=reconciled_failed", {"reconciled"}),
        ("freshness_state=terminal_normal", {"ended", "blocked"}),
        ("problem_class=terminal_follow_up", {"reconciled", "blocked"}),
        ("problem_class=active_stale_attention", {"stale"}),
        ("problem_class=none", {"queued", "running", "ended"}),
        ("reconciled=true", {"reconciled"}),
        ("reconciled=false", {"queued", "stale", "running", "ended", "blocked"}),
        ("reason=worker_lost", {"reconciled"}),
        ("mine=true", {"ended"}),
        ("since=2030-01-01", set()),
        ("until=2030-01-01", {"queued", "stale", "running", "ended", "reconciled", "blocked"}),
        ("tab=attention&outcome=failed", {"reconciled"}),
    ],
)
def test_a_filter_narrows_the_page_and_the_api_alike(
    both: World, query: str, named: set[str]
) -> None:
    both.person("ada", Role.OWNER)
    both.sign_in("ada")
    runs = {
        "queued": both.run(),
        "stale": stale(both),
        "running": both.running(operation="inventory_sync", tenant=OTHER_TENANT),
        "ended": both.ended(initiator_id="ada"),
        "reconciled": both.reconciled(),
        "blocked": both.blocked(),
    }
    wanted = {runs[name] for name in named}
    assert set(listed(both.get(f"/admin/operations?{query}").text)) == wanted
    if "tab" not in query:
        answer = both.get(f"/api/admin/operations?{query}").json()
        assert {run["id"] for run in answer["runs"]} == wanted


def test_filters_are_chips_each_of_which_can_be_removed(web: World) -> None:
    page = web.get("/admin/operations?tab=active&type=policy.sync&status=queued").text
    chips = re.findall(
        r'href="/admin/operations\?([^"]*)" aria-label="Remove the filter ([^:]+)', page
    )
    assert {name: html.unescape(query) for query, name in chips} == {
        "Operation": "tab=active&status=queued",
        "Status": "tab=active&type=policy.sync",
        "Period": "tab=active&type=policy.sync&status=queued&period=all",
    }


def test_pages_go_on_where_they_ended_also_at_equal_moments(both: World) -> None:
    both.person("ada", Role.OWNER)
    both.sign_in("ada")
    runs = [both.run(tenant=f"t{number}") for number in range(2 * PAGE + 7)]
    with both.ledger.transaction():
        both.ledger.execute(
            "UPDATE lastword_run SET created_at = (SELECT MIN(created_at) FROM lastword_run)"
        )
    seen: list[str] = []
    path = "/admin/operations"
    for _ in range(3):
        page = both.get(path).text
        seen += listed(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(following[1]) if following else ""
    assert path == ""
    assert seen == sorted(runs, reverse=True)


def test_a_list_over_many_workspaces_and_tenants_is_one_list(both: World) -> None:
    both.person("ada", Role.OWNER, tenants=[OWN_TENANT, OTHER_TENANT])
    both.person("ada", Role.VIEWER, workspace=FOREIGN)
    both.sign_in("ada")
    runs = [
        both.run(tenant=OWN_TENANT),
        both.run(tenant=FOREIGN_TENANT, workspace=FOREIGN),
        both.run(tenant=OTHER_TENANT),
        both.reconciled(tenant=FOREIGN_TENANT, workspace=FOREIGN, operation="inventory_sync"),
    ]
    both.run(tenant=None, workspace=None)
    assert listed(both.get("/admin/operations").text) == runs[::-1]
    assert listed(both.get("/admin/operations?tab=attention").text) == runs[3:]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=done", "status is 'done'; expected one of completed, queued, running"),
        ("cursor=abc", "cursor is 'abc'; expected one that a page has given"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA", "cursor is"),
        ("since=yesterday", "since is 'yesterday'; expected a day or a moment"),
        ("since=99999-01-01", "since is '99999-01-01'; expected a day or a moment"),
        ("colour=red", "the unknown field 'colour' is 'red'; expected some of"),
        ("status=queued&status=running", "status is 'queued and running'; expected one value"),
        ("tenant_id=" + "x" * 65, "expected at most 64 characters"),
        ("tenant_id=%00", "NUL in a field"),
        ("tenant_id=%ff", "expected at most 100 fields of UTF-8"),
        ("tenant_id=a%0Ab", "expected at most 64 characters that can be read"),
        ("&".join(f"mine={n}" for n in range(200)), "expected at most 100 fields"),
        ("mine=maybe", "mine is 'maybe'; expected one of false, true"),
        ("reconciled=1", "reconciled is '1'; expected one of false, true"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_name(web: World, query: str, said: str) -> None:
    page = web.get(f"/admin/operations?{query}")
    assert page.status_code == 422
    assert said in text_of(page.text)
    answer = web.get(f"/api/admin/operations?{query}")
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]


def test_a_part_that_has_not_changed_is_not_sent_again(web: World) -> None:
    run = web.running()
    for path in (
        "/admin/operations/rows",
        "/admin/operations/counts",
        f"/admin/operations/{run}/live",
        "/admin/workers/live",
        "/admin/notifications/bell",
    ):
        first = web.get(path)
        assert first.status_code == 200
        again = web.get(path, **{"hx-ptag": first.headers["hx-ptag"]})
        assert (again.status_code, again.content) == (304, b""), path
    tag = web.get("/admin/operations/rows").headers["hx-ptag"]
    web.run(tenant=OTHER_TENANT)
    changed = web.get("/admin/operations/rows", **{"hx-ptag": tag})
    assert changed.status_code == 200
    assert changed.headers["hx-ptag"] != tag


def test_views_are_kept_for_one_person(web: World) -> None:
    query = "tab=attention&type=policy.sync"
    assert web.post("/admin/operations/views", name="Mine", query=query).status_code == 303
    kept = web.get("/admin/operations/suggestions").text
    assert html.unescape(kept).count(f'href="/admin/operations?{query}">Mine<') == 1
    assert web.post("/admin/operations/views", name="Bad", query="status=x").status_code == 422
    web.person("bob", Role.OWNER)
    web.sign_in("bob")
    assert "Mine" not in web.get("/admin/operations/suggestions").text
    assert web.post("/admin/operations/views/remove", name="Mine").status_code == 404
    web.sign_in("ada")
    assert web.post("/admin/operations/views/remove", name="Mine").status_code == 303
    assert "Mine" not in web.get("/admin/operations/suggestions").text


def test_badge_filter_and_api_say_the_same_of_freshness(both: World) -> None:
    both.person("ada", Role.OWNER)
    both.sign_in("ada")
    for make in (both.run, both.ended, both.reconciled, both.blocked):
        make()
    stale(both)
    for state in Freshness:
        asked = RunFilter(freshness_state=state)
        known = {run["id"] for run in list_runs(both.ledger, asked, labels={})}
        page = both.get(f"/admin/operations?freshness_state={state}").text
        answer = both.get(f"/api/admin/operations?freshness_state={state}").json()["runs"]
        assert set(listed(page)) == {run["id"] for run in answer} == known
        assert {run["freshness_state"] for run in answer} <= {state}


def test_every_page_says_when_no_reconciler_has_succeeded(web: World) -> None:
    said = "No reconciler has ever succeeded here"
    assert said in web.get("/admin/operations").text
    now = web.ledger.dialect.now_ms
    with web.ledger.transaction():
        web.ledger.execute(
            "INSERT INTO lastword_sweep (job, scheduler, ended_at, succeeded_at, duration_ms, "
            f"result, found, acted, skipped, lost_races) SELECT 'reconcile.generic', 's', {now}, "
            f"{now}, 1, 'succeeded', 0, 0, 0, 0"
        )
    for path in ("/admin/operations", "/admin/workers", "/admin/audit", f"/admin/t/{OWN_TENANT}"):
        assert 'class="banner"' not in web.get(path).text
    late_ms = int(3 * web.config.sweep_interval * 1000) + 1000
    with web.ledger.transaction():
        web.ledger.execute(f"UPDATE lastword_sweep SET succeeded_at = succeeded_at - {late_ms}")
    for path in ("/admin/operations", "/admin/workers", "/admin/audit", f"/admin/t/{OWN_TENANT}"):
        assert "for more than three of its intervals" in web.get(path).text
