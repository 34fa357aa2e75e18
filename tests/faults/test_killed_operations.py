"""Each operation with its worker killed in mid-run: it resumes, and nothing has its effect twice.

One system of real processes; what the provider was asked is read from its own journal.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import lastword_middleware
from lastword.application import Application
from lastword.config import load_config
from lastword.identity import RunId
from lastword.reading.runs import show_run
from lastword.reading.workers import list_workers
from lastword.service.tenants import set_writable
from lastword.starting import start_in
from lastword.storage.ledger import Row
from lastword_jobs.actors import declare_actors
from lastword_jobs.baselines.records import add_profile
from lastword_jobs.demo.system import System, environment_of, running_system
from lastword_jobs.graph_server.tenants import Size
from lastword_jobs.restores.preparing import confirm_restore, continue_restore, prepare_restore
from lastword_jobs.restores.records import find_restore
from lastword_middleware.broker import worker_broker
from tests.processes import environment, lastword
from tests.support import Scene, until
from tests.workers import tracker_of

TENANT = "contoso"

#: Seconds every answer takes: slow enough to strike in mid-run.
LATENCY_S = 0.02


@dataclass(frozen=True)
class Governed:
    """A running system, and short words for what is done to it."""

    system: System
    application: Application
    scene: Scene

    def lab(self, name: str, **asked: Any) -> None:
        httpx.post(f"{self.system.config.graph_url}/_lab/{name}", json=asked).raise_for_status()

    def asked_by(self, run_id: str) -> list[dict[str, Any]]:
        entries = httpx.get(f"{self.system.config.graph_url}/_lab/journal").json()
        return [entry for entry in entries if entry.get("client_request_id") == run_id]

    def start(self, operation: str, **inputs: Any) -> RunId:
        started = start_in(
            self.application, operation, inputs=inputs, tenant=TENANT, initiator=None
        )
        assert started.result == "accepted", show_run(self.scene.ledger, started.run_id, labels={})
        return started.run_id

    def done(self, operation: str, **inputs: Any) -> dict[str, Any]:
        """Run it undisturbed; the run as people see it."""
        run_id = self.start(operation, **inputs)
        self.ended(run_id)
        shown = show_run(self.scene.ledger, run_id, labels={})
        assert shown["outcome"] == "succeeded", shown["failures"]
        return shown

    def ended(self, run_id: RunId) -> Row:
        until(lambda: self.scene.row(run_id)["completed_at"], within_s=60, what="its last word")
        return self.scene.row(run_id)

    def slow(self, route: str) -> None:
        """Let the next answer from there take so long that its asker can be killed meanwhile."""
        self.lab("faults", route=route, tenant=TENANT, latency_s=3.0)

    def kill_in(self, run_id: RunId, *, after: int) -> None:
        """Kill the worker of a run once it has asked so many questions."""
        until(lambda: len(self.asked_by(run_id)) >= after, what=f"{after} questions")
        worker_id = until(lambda: self.scene.row(run_id)["worker_id"])
        [worker] = [row for row in list_workers(self.scene.ledger) if row["id"] == worker_id]
        os.kill(worker["pid"], signal.SIGKILL)

    def killed(self, operation: str, *, after: int, **inputs: Any) -> dict[str, Any]:
        """Run it, killed once in the middle; the run as people see it in the end."""
        run_id = self.start(operation, **inputs)
        self.kill_in(run_id, after=after)
        row = self.ended(run_id)
        shown = show_run(self.scene.ledger, run_id, labels={})
        assert (row["outcome"], row["attempt"]) == ("succeeded", 2), shown
        counts = shown["summary_counts"]
        parts = (counts.get(key, 0) for key in ("succeeded", "failed", "skipped"))
        assert counts["processed"] == sum(parts) == counts["total"]
        return shown


@pytest.fixture(scope="module")
def governed() -> Iterator[Governed]:
    folder = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    config = replace(
        load_config({}),
        data_dir=folder,
        heartbeat_interval=0.4,
        lease_ttl=2.0,
        sweep_interval=0.4,
        message_grace=1.0,
        metrics_addr="127.0.0.1:0",
        worker_shutdown_timeout=10.0,
        stop_wait=15.0,
        allow_unsafe_timing=True,
    )
    tenants = {TENANT: Size.S}
    with running_system(
        config, tenants=tenants, workers=2, threads=2, latency_s=LATENCY_S
    ) as system:
        broker = worker_broker(system.config)
        application = lastword_middleware.install(broker, config=system.config)
        declare_actors(broker, config=system.config, records=application.ledger)
        set_writable(system.ledger, TENANT, writable=True)
        yield Governed(system, application, Scene(system.ledger))
        application.ledger.close()
        tracker_of(broker).ledger.close()
        broker.close()
    shutil.rmtree(folder, ignore_errors=True)


def objects(governed: Governed, table: str) -> int:
    with governed.scene.ledger.session():
        [row] = governed.scene.ledger.execute(f"SELECT COUNT(*) AS n FROM lastword_jobs_{table}")
    return int(row["n"])


def test_syncs_whose_worker_was_killed_resume(governed: Governed) -> None:
    shown = governed.killed("inventory_sync", after=4)
    assert shown["summary_counts"]["items"] == objects(governed, "inventory_item") == 30
    shown = governed.killed("policy.sync", after=4)
    assert shown["summary_counts"]["items"] == objects(governed, "policy") == 22
    governed.slow("*/groups")
    shown = governed.killed("entra_group_sync", after=2, mode="full")
    assert shown["summary_counts"]["items"] == objects(governed, "group") == 50
    governed.slow("*/roleDefinitions")
    governed.killed("directory_role_definitions.sync", after=1)
    assert objects(governed, "role") == 10


def test_a_baseline_whose_workers_were_killed_is_whole_and_compared(governed: Governed) -> None:
    types = ["settingsCatalog", "deviceConfiguration", "deviceCompliance"]
    profile = add_profile(governed.scene.ledger, workspace_id="default", name="b", types=types)
    shown = governed.killed("baseline_capture", after=30, profile_id=profile)
    assert shown["summary_counts"]["succeeded"] == objects(governed, "baseline_item") == 20
    assert objects(governed, "baseline_snapshot") == 1
    governed.lab("drift", tenant=TENANT, drift="change_setting", nth=0)
    shown = governed.killed("baseline_compare", after=30, profile_id=profile)
    assert (shown["summary_counts"]["findings"], objects(governed, "finding")) == (1, 1)
    governed.slow("*/settings")
    shown = governed.killed("policy.sync_one", after=1, **_a_policy(governed))
    assert shown["summary_counts"]["processed"] == 1
    governed.slow("*/subscribedSkus")
    governed.killed("tenant.evidence.snapshot.generate", after=1)
    assert objects(governed, "evidence_snapshot") == 1


def test_a_restore_whose_worker_was_killed_is_gone_on_with_and_makes_nothing_twice(
    governed: Governed,
) -> None:
    ledger = governed.scene.ledger
    governed.done("entra_group_sync", mode="full")
    shown = governed.killed("backup_schedule_run", after=40)
    assert shown["summary_counts"]["items"] == 30
    assert objects(governed, "backup_set") == 1
    before = _names(governed)
    governed.lab("drift", tenant=TENANT, drift="wipe")
    set_id = shown["context"]["backup_set_id"]
    restore_id = prepare_restore(ledger, tenant_id=TENANT, backup_set_id=set_id)
    governed.done("restore.execute", restore_id=restore_id, dry_run=True)
    fingerprint = _confirmed(governed, restore_id)
    run_id = governed.start("restore.execute", restore_id=restore_id, fingerprint=fingerprint)
    until(lambda: [e for e in governed.asked_by(run_id) if e.get("created")], within_s=60)
    governed.kill_in(run_id, after=1)
    row = governed.ended(run_id)
    # It never repeats by itself: a person says that it goes on.
    assert (row["outcome"], row["reason"], row["attempt"]) == ("failed", "worker_lost", 1)
    until(lambda: (found := find_restore(ledger, restore_id)) and found.ended_at)
    more = continue_restore(ledger, restore_id)
    _confirmed(governed, more)
    last = governed.done("restore.execute", restore_id=more, fingerprint=fingerprint)
    assert last["summary_counts"]["created"] == 20
    assert _names(governed) == before
    made = [
        entry
        for run in (run_id, last["id"])
        for entry in governed.asked_by(run)
        if entry.get("created")
    ]
    assert len(made) == 20


def test_a_restore_is_done_with_the_commands_that_the_documentation_names(
    governed: Governed,
) -> None:
    env = {**environment(), **environment_of(governed.system.config)}

    def said(*words: str) -> str:
        done = lastword(*words, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def done(*words: str) -> dict[str, Any]:
        started = json.loads(said("start", *words, "--tenant", TENANT, "--json"))
        row = governed.ended(started["run_id"])
        assert row["outcome"] == "succeeded", row["failures"]
        return show_run(governed.scene.ledger, started["run_id"], labels={})

    said("tenants", "set", TENANT, "read-only")
    done("backup_schedule_run", "--input", 'types=["deviceConfiguration"]')
    newest = json.loads(said("backups", "--tenant", TENANT, "--json"))[0]
    restore_id = said("restores", "prepare", newest["id"], "--tenant", TENANT)
    words = ("restore.execute", "--input", f"restore_id={restore_id}", "--input")
    done(*words, "dry_run=true")
    items = json.loads(said("restores", "show", restore_id, "--json"))
    assert {item["decision"] for item in items} == {"unchanged"}
    shown = next(
        row for row in json.loads(said("restores", "list", "--json")) if row["id"] == restore_id
    )
    said("restores", "confirm", restore_id, shown["fingerprint"])
    execute = (*words, f"fingerprint={shown['fingerprint']}")
    refused = lastword("start", *execute, "--tenant", TENANT, env=env)
    assert (refused.returncode, refused.stdout.split()[0]) == (1, "blocked")
    said("tenants", "set", TENANT, "writable")
    assert done(*execute)["summary_counts"]["unchanged"] == len(items)
    for wrong in (("restores", "show", "x"), ("restores", "continue", restore_id)):
        again = lastword(*wrong, env=env)
        assert again.returncode != 0
        assert len(again.stderr.splitlines()) == 1


def test_a_review_is_published_with_the_commands_that_the_documentation_names(
    governed: Governed,
) -> None:
    env = {**environment(), **environment_of(governed.system.config)}
    profile = lastword("baselines", "add", "named", "--type", "deviceRole", env=env).stdout.strip()
    governed.done("baseline_capture", profile_id=profile)
    governed.done("baseline_compare", profile_id=profile)
    assert lastword("baselines", "findings", TENANT, env=env).returncode == 0
    run_id = governed.start("tenant.evidence.snapshot.generate")
    governed.ended(run_id)
    composed = governed.start("tenant.review.compose")
    governed.ended(composed)
    review = show_run(governed.scene.ledger, composed, labels={})["context"]["review"]["id"]
    assert lastword("publish-review", review, env=env).stdout == f"published {review}\n"
    again = lastword("publish-review", review, env=env)
    assert "is none that is ready" in again.stderr


def _confirmed(governed: Governed, restore_id: str) -> str:
    restore = find_restore(governed.scene.ledger, restore_id)
    assert restore is not None
    assert restore.fingerprint is not None
    confirm_restore(governed.scene.ledger, restore_id, fingerprint=restore.fingerprint, by="ada")
    return str(restore.fingerprint)


def _names(governed: Governed) -> Counter[str]:
    """The policies as a sync finds them just now."""
    governed.done("policy.sync")
    with governed.scene.ledger.session():
        rows = governed.scene.ledger.execute(
            "SELECT name FROM lastword_jobs_policy WHERE NOT missing"
        )
    return Counter(row["name"] for row in rows)


def _a_policy(governed: Governed) -> dict[str, str]:
    with governed.scene.ledger.session():
        [row] = governed.scene.ledger.execute(
            "SELECT external_id FROM lastword_jobs_policy WHERE type = 'settingsCatalog' LIMIT 1"
        )
    return {"policy_id": row["external_id"], "type": "settingsCatalog"}
