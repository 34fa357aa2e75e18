"""The dashboard: what it asks, and where it leads. test_prometheus.py asks a real Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lastword.config import load_config
from lastword.metrics.catalogue import families
from tests.web.conftest import web_config as web_config
from tests.web.conftest import world as world
from tests.web.world import World

DASHBOARD = Path("deploy/grafana/dashboards/lastword.json").absolute()

#: What Grafana would put in their places, with everything chosen.
CHOSEN = {
    **dict.fromkeys(("$job", "$queue", "$operation"), ".*"),
    "$__range": "10m",
    "$__rate_interval": "1m",
}

#: What of the ledger is a gauge that is told by each scheduler and each web.
GAUGES = ("runs", "runs_stale", "workers", "worker_slots")

#: The part of a link that stands for a row of a table.
FIELD = "${__data.fields.operation}"


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Every query of the dashboard, with the title of what asks it.

    What marks a deploy or an alert that fires is rightly empty most of the time: there it is
    asked whether anything is known to compare.
    """
    found = [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    found += [
        (name, variable["definition"].partition("(")[2].partition(",")[0])
        for variable in dashboard()["templating"]["list"]
        if (name := variable["name"]) in {"job", "queue", "operation"}
    ]
    found += [
        (entry["name"], re.sub(r" unless .*| offset 1m|, alertstate=\"firing\"", "", entry["expr"]))
        for entry in dashboard()["annotations"]["list"]
    ]
    return [(title, _filled(query)) for title, query in found]


def _filled(query: str) -> str:
    for name, value in CHOSEN.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def links() -> list[str]:
    """Every link into the web, without its origin."""
    found = [link for panel in panels() for link in panel["fieldConfig"]["defaults"]["links"]]
    return sorted({link["url"].removeprefix("${web}") for link in found + dashboard()["links"]})


def test_every_panel_says_what_it_is_and_whom_it_asks() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for panel in panels():
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_what_many_tell_alike_is_never_summed() -> None:
    """Each scheduler and each web tells the whole: a sum over them would count it twice."""
    shared = "|".join([*(family.name for family in families([])), *GAUGES])
    summed = re.compile(
        rf"(sum|avg|count)( by \([a-z, ]*\))? ?\((rate|increase)?\(?"
        rf"lastword_({shared})(_total|_bucket)?\b"
    )
    assert summed.search("sum by (le) (rate(lastword_run_duration_seconds_bucket[5m]))")
    for title, query in expressions():
        assert not summed.search(query), (title, query)


@pytest.mark.parametrize("link", links())
def test_a_link_leads_to_a_page_of_the_web(world: World, link: str) -> None:
    world.overseer("olga")
    world.sign_in("olga")
    answer = world.get(link.replace(FIELD, next(iter(load_config({}).policies))))
    assert answer.status_code == 200, link


def test_compose_provisions_it() -> None:
    provider = Path("deploy/grafana/provisioning/dashboards/lastword.yaml").read_text()
    mount = "../grafana/dashboards:/var/lib/grafana-dashboards:ro"
    assert "path: /var/lib/grafana-dashboards" in provider
    assert mount in Path("deploy/compose/compose.yaml").read_text()
