"""What the demo does to the system: each act starts runs, harms them, and knows the right truth."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis

from lastword.application import Application
from lastword.errors import LastwordError
from lastword.identity import RunId
from lastword.reading.runs import run_status
from lastword.reading.workers import list_workers
from lastword.reasons import Reason
from lastword.starting import start_in
from lastword.states import Outcome
from lastword.storage.ledger import Row
from lastword_jobs.demo.system import System
from lastword_jobs.graph_server.tenants import Size

#: Seconds an act waits for the moment at which to strike.
STRIKE_WITHIN_S = 20.0

#: The large tenant, the one whose syncs are killed and throttled.
MAIN_TENANT = "contoso"

#: Requests that a fault hits which does not pass by itself: more than any run makes.
LASTING = 1000

#: A tenant the ledger knows and the provider does not.
STRANGER = "phantom"

SMALL_TENANTS = ("adatum", "fabrikam", "litware", "northwind", "tailspin", "woodgrove")

#: The tenant that is governed from end to end.
GOVERNED_TENANT = "wingtip"

TENANTS = {MAIN_TENANT: Size.M, **dict.fromkeys((*SMALL_TENANTS, GOVERNED_TENANT), Size.S)}


@dataclass(slots=True)
class Watched:
    """A run of the demo and the truth it has to reach.

    Attributes:
        harm: what is done to it, in words.
        since_ms: from when its time to truth counts: the harm, or the acceptance.
    """

    run_id: RunId
    operation: str
    tenant: str
    harm: str
    outcome: Outcome = Outcome.SUCCEEDED
    reason: Reason | None = None
    since_ms: int | None = None


@dataclass(slots=True)
class Stage:
    """Where the acts play: the system, a way to start runs, and the runs so far.

    Args:
        tell: says to the person watching what is being done.
    """

    system: System
    application: Application
    tell: Callable[[str], None]
    watched: list[Watched] = field(default_factory=list)

    def start(
        self,
        operation: str,
        tenant: str,
        harm: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        **expected: Any,
    ) -> Watched:
        """Start a run and watch it."""
        started = start_in(
            self.application, operation, inputs=inputs or {}, tenant=tenant, initiator=None
        )
        if started.result != "accepted":
            raise LastwordError(f"{operation} on {tenant} was {started.result}")
        watched = Watched(started.run_id, operation, tenant, harm, **expected)
        self.watched.append(watched)
        return watched

    def row(self, watched: Watched) -> Row:
        """How a run stands."""
        return run_status(self.system.ledger, [watched.run_id])[watched.run_id]

    def now_ms(self) -> int:
        """The ledger's clock."""
        ledger = self.system.ledger
        with ledger.session():
            return int(ledger.execute(f"SELECT {ledger.dialect.now_ms} AS now")[0]["now"])

    def fault(self, **rule: Any) -> None:
        """Let the provider misbehave."""
        self.lab("faults", **rule)

    def lab(self, name: str, **asked: Any) -> None:
        """Do something to the provider behind everyone's back."""
        httpx.post(f"{self.system.config.graph_url}/_lab/{name}", json=asked).raise_for_status()


def play(stage: Stage) -> Iterator[None]:
    """The acts in order. Yields after each, so that the watcher can be shown the runs."""
    for act in (healthy, throttled, refused, unknown_to_the_provider, killed, emptied):
        act(stage)
        yield


def healthy(stage: Stage) -> None:
    """Nothing is done to this one."""
    stage.tell(f"syncing the inventory of {MAIN_TENANT}: 150 policies, read 25 at a time")
    stage.start("inventory_sync", MAIN_TENANT, "nothing")


def throttled(stage: Stage) -> None:
    """The provider asks to slow down, with a decimal Retry-After, and then breaks once."""
    stage.tell("the provider throttles one sync (429, Retry-After: 1.128) and fails it once (503)")
    path, tenant = "/v1.0/deviceManagement/deviceConfigurations", SMALL_TENANTS[0]
    stage.fault(route=path, tenant=tenant, status=429, headers={"Retry-After": "1.128"})
    stage.fault(route=path, tenant=tenant, status=503)
    stage.start("policy.sync", tenant, "throttled, then 503")


def refused(stage: Stage) -> None:
    """One of the types may not be read."""
    stage.tell("the provider refuses one type of object to one sync (403)")
    tenant = SMALL_TENANTS[1]
    # For good: its worker may be the one that is killed, and the next attempt asks again.
    stage.fault(
        route="/beta/deviceManagement/configurationPolicies",
        tenant=tenant,
        status=403,
        times=LASTING,
    )
    stage.start(
        "policy.sync",
        tenant,
        "one type refused (403)",
        outcome=Outcome.PARTIALLY_SUCCEEDED,
        reason=Reason.PERMISSION_DENIED,
    )


def unknown_to_the_provider(stage: Stage) -> None:
    """The provider does not know the tenant."""
    stage.tell(f"syncing {STRANGER}, which the provider does not know")
    stage.start(
        "policy.sync",
        STRANGER,
        "tenant unknown to the provider",
        outcome=Outcome.BLOCKED,
        reason=Reason.AUTHENTICATION_FAILED,
    )


def killed(stage: Stage) -> None:
    """The worker dies in the middle of a run."""
    watched = stage.start("policy.sync", MAIN_TENANT, "SIGKILL of its worker in mid-run")
    row = _await(stage, watched, _has_recorded_a_page, "it to be in mid-run")
    pid = next(
        worker["pid"]
        for worker in list_workers(stage.system.ledger)
        if worker["id"] == row["worker_id"]
    )
    stage.tell(f"SIGKILL to worker process {pid}, in the middle of policy.sync on {MAIN_TENANT}")
    watched.since_ms = stage.now_ms()
    os.kill(pid, signal.SIGKILL)


def emptied(stage: Stage) -> None:
    """The broker loses everything while runs are queued."""
    queued = [
        stage.start(operation, tenant, "Redis emptied while queued")
        for tenant in SMALL_TENANTS[2:]
        for operation in ("inventory_sync", "policy.sync")
    ]
    with redis.Redis.from_url(stage.system.config.broker_url) as client:
        client.flushall()
    since_ms = stage.now_ms()
    waiting = sum(stage.row(watched)["status"] == "queued" for watched in queued)
    stage.tell(f"FLUSHALL: Redis is emptied with {waiting} of {len(queued)} runs still queued")
    for watched in queued:
        watched.since_ms = since_ms


def _has_recorded_a_page(row: Row) -> bool:
    counts: dict[str, float] = row["summary_counts"]
    return row["status"] == "running" and counts.get("pages", 0) > 0


def _await(stage: Stage, watched: Watched, ready: Callable[[Row], bool], what: str) -> Row:
    deadline = time.monotonic() + STRIKE_WITHIN_S
    while True:
        row = stage.row(watched)
        if ready(row):
            return row
        if row["status"] == "completed" or time.monotonic() > deadline:
            raise LastwordError(f"{watched.operation} gave no chance to strike: waited for {what}")
        time.sleep(0.02)
