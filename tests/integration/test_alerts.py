"""The alerts, tried by promtool with what the product really exposes and promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastword.config import Config, load_config
from lastword.metrics.collecting import LedgerCollector, reconcile_deadline_s
from lastword.metrics.exposing import exposition
from lastword.storage.ledger import Ledger
from lastword.web.traffic import Traffic

RULES = Path("deploy/prometheus/rules/lastword.yml").absolute()

HOW = "install Debian's prometheus to have them"

#: What the scheduler and its broker add to what the ledger tells; one scrape of each.
OTHERS = {
    *("lastword_reconciler_last_success_timestamp_seconds", "lastword_reconciler_interval_seconds"),
    *("lastword_ledger_broker_drift",),
}

DEFAULTS = load_config({})


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"the tests of alerts need promtool: {HOW}")
        pytest.skip(f"left out, for there is no promtool here: {HOW}")
    return found


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def ran(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


Series = dict[str, str]

#: A system in which all is well, in Prometheus's own notation: value, then steps of 15 s.
WELL: Series = {
    "lastword_ledger_up": "1+0x1000",
    'lastword_run_oldest_stale_age_seconds{queue="default"}': "0+0x1000",
    "lastword_reconcile_deadline_seconds": f"{reconcile_deadline_s(DEFAULTS):g}+0x1000",
    'lastword_reconciler_last_success_timestamp_seconds{task="reconcile.generic"}': "0+15x1000",
    'lastword_reconciler_interval_seconds{task="reconcile.generic"}': (
        f"{DEFAULTS.sweep_interval:g}+0x1000"
    ),
    'lastword_runs{operation="policy.sync",queue="default",status="queued"}': "3+0x1000",
    'lastword_workers{queue="default",state="active"}': "2+0x1000",
    'lastword_runs_stale{operation="policy.sync",queue="default",status="queued"}': "0+0x1000",
    'lastword_runs_reconciled_total{operation="policy.sync",reason="worker_lost"}': "0+0x1000",
    'lastword_run_late_results_total{operation="policy.sync",resolution="recorded"}': "0+0x1000",
    'lastword_ledger_broker_drift{queue="default",kind="run_without_message"}': "0+0x1000",
    'lastword_runs_completed_total{operation="policy.sync",outcome="succeeded",'
    'resolved_by="worker"}': "0+1x1000",
    'lastword_runs_completed_total{operation="policy.sync",outcome="failed",'
    'resolved_by="bridge"}': "0+0x1000",
    'lastword_runs_completed_total{operation="policy.sync",outcome="blocked",'
    'resolved_by="gate"}': "0+0x1000",
    'lastword_provider_wait_seconds_total{reason="throttled"}': "0+0x1000",
    'lastword_run_queue_wait_seconds_bucket{operation="policy.sync",le="1"}': "0+1x1000",
    'lastword_run_queue_wait_seconds_bucket{operation="policy.sync",le="900"}': "0+1x1000",
    'lastword_run_queue_wait_seconds_bucket{operation="policy.sync",le="+Inf"}': "0+1x1000",
    'lastword_worker_exits_total{reason="lost"}': "0+0x1000",
    'lastword_worker_exits_total{reason="grace_exceeded"}': "0+0x1000",
    'lastword_operation_timeout_seconds{operation="restore.execute"}': (
        f"{DEFAULTS.policies['restore.execute'].time_limit:g}+0x1000"
    ),
    'lastword_worker_stop_wait_seconds{queue="default"}': f"{DEFAULTS.stop_wait:g}+0x1000",
    "lastword_audit_write_failures_total": "0+0x1000",
    'lastword_auth_logins_total{method="password",result="failed"}': "0+0x1000",
}


def key(part: str) -> str:
    """The series of the well system whose name or labels have this part."""
    [found] = [name for name in WELL if part in name]
    return found


#: What goes wrong, by the alert that has to say so.
WRONG: dict[str, Series] = {
    "LastwordLedgerUnreadable": {"lastword_ledger_up": "0+0x1000"},
    "LastwordTerminalTruthOverdue": {
        key("oldest_stale"): f"{reconcile_deadline_s(DEFAULTS) + 1:g}+0x1000"
    },
    "LastwordReconcilerStalled": {key("last_success"): "0+0x1000"},
    "LastwordQueueWithoutWorkers": {key("lastword_workers"): "0+0x1000"},
    "LastwordAuditWriteFailing": {key("audit_write"): "0+0x8 1+0x1000"},
    "LastwordRunsStale": {key("runs_stale"): "2+0x1000"},
    "LastwordRunsReconciledFailed": {key("reconciled_total"): "0+0x8 1+0x1000"},
    "LastwordLateResults": {key("late_results"): "0+0x8 1+0x1000"},
    "LastwordLedgerBrokerDrift": {key("drift"): "1+0x1000"},
    "LastwordHighFailureRatio": {key('outcome="failed"'): "0+1x1000"},
    "LastwordRunsBlocked": {key('outcome="blocked"'): "0+0x8 1+0x1000"},
    "LastwordProviderThrottled": {key("provider_wait"): "0+12x1000"},
    "LastwordQueueWaitTooLong": {key('le="1"'): "0+0x1000"},
    "LastwordWorkerLost": {key('reason="lost"'): "0+0x8 1+0x1000"},
    "LastwordWorkerKilledBeforeDrain": {key("grace_exceeded"): "0+0x8 1+0x1000"},
    "LastwordStopWaitTooShort": {key("stop_wait"): "30+0x1000"},
    "LastwordLoginFailuresSpike": {key("auth_logins"): "0+1x1000"},
}

#: Minutes after which the longest of them has to have fired.
AFTER = {"LastwordLedgerBrokerDrift": 12, "LastwordProviderThrottled": 22} | {
    "LastwordQueueWaitTooLong": 26,
    "LastwordHighFailureRatio": 20,
    "LastwordLoginFailuresSpike": 12,
}


def scenario(wrong: Series, firing: dict[str, int], minutes: int) -> dict[str, Any]:
    series = {**WELL, **wrong}
    return {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minutes}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": count}
                    for name, count in firing.items()
                ],
            }
        ],
    }


def tried(promtool: str, folder: Path, *scenarios: dict[str, Any]) -> None:
    file = folder / "rules_test.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": list(scenarios)}
    file.write_text(yaml.safe_dump(document))
    ran(promtool, "test", "rules", str(file))


def test_promtool_takes_the_rules_and_each_has_its_page(promtool: str) -> None:
    ran(promtool, "check", "rules", str(RULES))
    for rule in rules():
        page = Path(rule["annotations"]["runbook_url"])
        assert page.is_file(), page
        assert page.stem == rule["alert"]
        words = re.search(r"^\*(Critical|Warning)\.\*", page.read_text(), re.MULTILINE)
        assert words is not None
        assert words[1].lower() == rule["labels"]["severity"]


def test_every_alert_that_has_a_page_is_a_rule() -> None:
    pages = {page.stem for page in Path("deploy/runbooks/alerts").glob("*.md")}
    assert {rule["alert"] for rule in rules()} == pages == set(WRONG)


def test_where_all_is_well_nothing_fires(promtool: str, tmp_path: Path) -> None:
    tried(promtool, tmp_path, *(scenario({}, {}, minutes) for minutes in (1, 10, 60, 120)))


@pytest.mark.parametrize("alert", WRONG)
def test_each_alert_fires_for_what_it_is_about_and_alone(
    promtool: str, tmp_path: Path, alert: str
) -> None:
    minutes = AFTER.get(alert, 7)
    tried(promtool, tmp_path, scenario(WRONG[alert], {alert: 1}, minutes))


def test_a_ledger_that_nobody_speaks_of_is_unreadable(promtool: str, tmp_path: Path) -> None:
    silent = scenario({}, {"LastwordLedgerUnreadable": 1}, 7)
    silent["input_series"] = [
        entry for entry in silent["input_series"] if entry["series"] != "lastword_ledger_up"
    ]
    tried(promtool, tmp_path, silent)


def test_two_that_tell_the_same_are_not_counted_twice(promtool: str, tmp_path: Path) -> None:
    """Nine failures of two hundred are no alert, however many replicas tell of them."""
    few = scenario({key('outcome="failed"'): "0+0x8 9+0x1000"}, {}, 60)
    twice = [
        {
            "series": re.sub(r"^(\w+)\{?", rf'\1{{instance="{name}",', entry["series"])
            + ("" if "{" in entry["series"] else "}"),
            "values": entry["values"],
        }
        for entry in few["input_series"]
        for name in ("a", "b")
    ]
    tried(promtool, tmp_path, {**few, "input_series": twice})


def exposed(ledger: Ledger) -> str:
    config = Config(policies=DEFAULTS.policies)
    return exposition([LedgerCollector(config, ledger), Traffic()]).decode()


def test_promtool_has_nothing_against_what_is_exposed(promtool: str, sqlite_ledger: Ledger) -> None:
    text = exposed(sqlite_ledger)
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_rules_speak_of_nothing_that_is_not_exposed(sqlite_ledger: Ledger) -> None:
    names = set(re.findall(r"^# TYPE (\w+)", exposed(sqlite_ledger), re.MULTILINE)) | OTHERS
    names |= {f"{name}_bucket" for name in names}
    used = {name for rule in rules() for name in re.findall(r"\blastword_\w+", rule["expr"])}
    assert used - names == set()
