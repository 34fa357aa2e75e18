"""A real Prometheus over a real system, while workers are killed and schedulers are away."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lastword.reading.runs import RunFilter, list_runs
from lastword.reading.workers import list_workers
from tests.browser.system import TENANTS, System, running_system
from tests.integration.test_alerts import HOW, RULES
from tests.integration.test_dashboard import expressions
from tests.processes import free_port, lastword
from tests.support import until

#: What the rules wait for is minutes in production; here it is seconds, and the same rules.
SHORTER = ((r"\[(5m|10m|15m|1h)\]", "[12s]"), (r"for: \w+", "for: 1s"))


#: Says what each family means.
DESCRIBED = Path("docs/metrics.md").absolute()


class Prometheus:
    """A server that scrapes every half second."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url)

    def close(self) -> None:
        """Ask no more."""
        self._http.close()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = self._http.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def number(self, query: str) -> float:
        """The one number that a query gives; 0 if it gives none."""
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else 0.0

    def families(self) -> set[str]:
        """The families of ours that it has scraped."""
        answer = self._http.get("/api/v1/targets/metadata").json()
        return {
            # Of a counter it is told without its suffix by whoever speaks OpenMetrics.
            name.removesuffix("_total")
            for entry in answer["data"]
            if (name := entry["metric"]).startswith("lastword_")
        }

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        found = self.ask('ALERTS{alertstate="firing"}')
        return {sample["metric"]["alertname"] for sample in found}

    @property
    def is_up(self) -> bool:
        try:
            return self._http.get("/-/ready", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def scraping(folder: Path, targets: list[str]) -> Iterator[Prometheus]:
    """A Prometheus over these targets, with the rules that ship and shorter waits."""
    found = shutil.which("prometheus")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"the test of a real Prometheus needs one: {HOW}")
        pytest.skip(f"left out, for there is no Prometheus here: {HOW}")
    rules = RULES.read_text()
    for pattern, shorter in SHORTER:
        rules = re.sub(pattern, shorter, rules)
    (folder / "rules.yml").write_text(rules)
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [{"job_name": "lastword", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        found,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        server = Prometheus(f"http://127.0.0.1:{port}")
        try:
            until(lambda: server.is_up, within_s=30, what="Prometheus")
            yield server
        finally:
            server.close()
            process.terminate()
            process.wait(20)


@pytest.fixture
def system() -> Iterator[System]:
    with running_system(sweep_deadline=2) as made:
        yield made


def started(system: System, operation: str, tenant: str) -> None:
    arguments = ("start", operation, "--tenant", tenant)
    done = lastword(*arguments, env={**os.environ, **system.environment})
    assert done.returncode == 0, done.stderr


def kill_a_worker(system: System) -> None:
    living = [row for row in list_workers(system.ledger) if row["lease"] == "live"]
    if living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(living[0]["pid"], signal.SIGKILL)


def ended(system: System) -> list[dict[str, Any]]:
    runs = list_runs(system.ledger, RunFilter(limit=500), labels={})
    return [run for run in runs if run["status"] == "completed"]


def test_counts_and_alerts_are_right_while_everything_is_killed(
    system: System, tmp_path: Path
) -> None:
    web, scheduler = system.config.web_addr, system.config.metrics_addr
    light, dark = TENANTS.values()
    with scraping(tmp_path, [web, scheduler]) as prometheus:
        # Nobody works and nobody reconciles: a run becomes stale, and overdue.
        started(system, "inventory_sync", light)
        expected = {"LastwordRunsStale", "LastwordTerminalTruthOverdue"}
        until(
            lambda: expected <= prometheus.firing(),
            within_s=30,
            what="the alerts of a stale run that is overdue",
        )
        assert prometheus.number("sum(max by (operation) (lastword_runs_stale))") == 1
        system.with_workers()
        until(lambda: len(ended(system)) == 1, within_s=30, what="the end of the stale run")
        until(
            lambda: not expected & prometheus.firing(),
            within_s=30,
            what="the end of both alerts",
        )
        for number in range(8):
            _work_and_kill(system, (light, dark)[number % 2], at_least=number // 2 + 1)
        until(lambda: "LastwordWorkerLost" in prometheus.firing(), within_s=20)
        _all_have_ended(system)
        runs = ended(system)
        _is_exact(prometheus, runs)
        _people_come(system)
        _every_panel_shows_something(prometheus)
        _every_family_is_described(prometheus)
        until(
            lambda: "LastwordWorkerLost" not in prometheus.firing(),
            within_s=60,
            what="the end of the alert of lost workers",
        )
        assert prometheus.number("min(lastword_ledger_up)") == 1
        _restarts_change_nothing(system, prometheus, len(runs))


def _work_and_kill(system: System, tenant: str, *, at_least: int) -> None:
    started(system, "policy.sync", tenant)
    kill_a_worker(system)
    until(lambda: len(ended(system)) >= at_least, within_s=60, what="runs that end all the same")


def _all_have_ended(system: System) -> None:
    def waiting() -> int:
        runs = list_runs(system.ledger, RunFilter(limit=500, active=True), labels={})
        return len(runs)

    until(lambda: waiting() == 0, within_s=60, what="the end of every run")


#: The counter as one series for each set of labels, whoever tells it.
COMPLETED = (
    "max by (operation, outcome, resolved_by) (lastword_runs_completed_total{{job='lastword'}}{0})"
)


def _is_exact(prometheus: Prometheus, runs: list[dict[str, Any]]) -> None:
    count = len(runs)
    until(
        lambda: prometheus.number(f"sum({COMPLETED.format('')})") == count,
        within_s=20,
        what=f"{count} completed runs in Prometheus",
    )
    by_outcome: dict[str, int] = {}
    for run in runs:
        by_outcome[run["outcome"]] = by_outcome.get(run["outcome"], 0) + 1
    for outcome, number in by_outcome.items():
        series = f'lastword_runs_completed_total{{outcome="{outcome}"}}'
        summed = f"sum(max by (operation, resolved_by) ({series}))"
        assert prometheus.number(summed) == number
    # From nothing to all of them: no restart of anything was taken for a reset.
    whole = (
        "max by (operation, outcome, resolved_by) "
        "(max_over_time({0}[10m]) - min_over_time({0}[10m]))"
    )
    series = "lastword_runs_completed_total"
    assert prometheus.number(f"sum({whole.format(series)})") == count
    assert prometheus.number(f"sum(resets({series}[10m]))") == 0
    increase = "max by (operation, outcome, resolved_by) (increase({0}[10m]))"
    told = prometheus.number(f"sum({increase.format(series)})")
    # Prometheus stretches an increase to the whole range: a little is added, never a run lost.
    assert abs(told - count) / count < 0.1, (told, count)


def _people_come(system: System) -> None:
    with httpx.Client(base_url=system.origin, follow_redirects=True) as browser:
        token = {"token": system.link().rpartition("=")[2]}
        browser.post("/admin/sign-in/link", data=token, headers={"origin": system.origin})
        assert browser.get("/admin/operations").status_code == 200


def _every_panel_shows_something(prometheus: Prometheus) -> None:
    def empty() -> list[str]:
        return [title for title, query in expressions() if not prometheus.ask(query)]

    until(lambda: not empty() or None, within_s=20, what="something in each panel")


def _every_family_is_described(prometheus: Prometheus) -> None:
    described = set(re.findall(r"^\| `(lastword_\w+)`", DESCRIBED.read_text(), re.MULTILINE))
    assert prometheus.families() == {name.removesuffix("_total") for name in described}


def _restarts_change_nothing(system: System, prometheus: Prometheus, count: int) -> None:
    for name in ("web", "scheduler"):
        os.kill(system.supervisor.pids()[name], signal.SIGKILL)
    began = time.time()
    until(
        lambda: (
            prometheus.number("min(timestamp(lastword_build_info))") > began + 2
            and len(prometheus.ask("lastword_build_info")) == 2
        ),
        within_s=40,
        what="both to be scraped again",
    )
    assert prometheus.number(f"sum({COMPLETED.format('')})") == count
    assert prometheus.number("sum(resets(lastword_runs_completed_total[10m]))") == 0
