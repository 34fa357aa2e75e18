"""What tests share: policies, a ledger with runs in it, waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lastword.application import Letter
from lastword.identity import RunId, WorkerId, new_run_id, new_worker_id
from lastword.policy import Policy
from lastword.policy_tables import policy_from_table
from lastword.reading.runs import run_status
from lastword.reasons import Reason
from lastword.service import RunService, WorkerService
from lastword.service.requests import Denial, NewRun
from lastword.service.values import Claim, Delivery, Verdict
from lastword.service.workers import NewWorker
from lastword.states import Status
from lastword.storage.ledger import Ledger, Row

T = TypeVar("T")


def policy(operation: str = "report.build", **changes: Any) -> Policy:
    table = {
        "label": "Build report",
        "time_limit": 10,
        "queued_stale_after": 20,
        "running_stale_after": 30,
        "max_retries": 2,
        "min_backoff": 0.05,
        "max_backoff": 0.1,
        "on_worker_lost": "redispatch",
        **changes,
    }
    return policy_from_table(operation, table, origin="a test")


POLICIES = {
    "report.build": policy(),
    "report.once": policy("report.once", max_retries=0, on_worker_lost="fail"),
    "report.indirect": policy("report.indirect", max_retries=0, direct_bridge=False),
    "report.waits": policy("report.waits", max_retries=0, max_deferral=30),
    "report.writes": policy(
        "report.writes", writes=True, scope="writes", capability="restore.execute"
    ),
    "report.short": policy(
        "report.short", time_limit=0.5, expected_max_runtime=0.01, max_retries=0
    ),
}


#: The policies of the actors in tests/fleet.py, as a configuration file for its processes.
FLEET_OPERATIONS = """
[operations."fleet.work"]
label = "Work"
time_limit = 60
queued_stale_after = 30
running_stale_after = 90
min_backoff = 0.1
max_backoff = 0.2
on_worker_lost = "redispatch"

[operations."fleet.once"]
label = "Work that is never repeated"
time_limit = 60
queued_stale_after = 30
running_stale_after = 90
on_worker_lost = "fail"
"""


def until(condition: Callable[[], T | None], *, within_s: float = 15.0, what: str = "") -> T:
    """Wait until `condition` gives something true; its value."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what or condition}; last: {value!r}")
        time.sleep(0.01)


class Scene:
    """A ledger with one worker, and short words for the verbs."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.runs = RunService(ledger)
        self.workers = WorkerService(ledger)

    def worker(self, *, lease_ttl_s: float = 60.0) -> WorkerId:
        worker_id = new_worker_id()
        self.workers.boot(
            NewWorker(worker_id, host="host", pid=1, version="1", threads=8, broker_id=None),
            lease_ttl_s=lease_ttl_s,
        )
        return worker_id

    def accept(self, **fields: Any) -> RunId:
        request = {
            "run_id": new_run_id(),
            "policy": policy(),
            "actor_name": "build_report",
            "payload": "{}",
            **fields,
        }
        [accepted] = self.runs.accept([NewRun(**request)])
        return accepted.run_id

    def refuse(self, denial: Denial) -> RunId:
        """A run that is blocked from its start."""
        run_id = new_run_id()
        new = NewRun(run_id, policy(), "build_report", "{}", denial=denial)
        self.runs.refuse([new])
        return run_id

    def claim(self, run_id: RunId, worker_id: WorkerId, *, dispatch: int = 1) -> Claim:
        [claim] = self.runs.claim([Delivery(run_id, dispatch)], worker_id=worker_id)
        return claim

    def row(self, run_id: str) -> Row:
        with self.ledger.session():
            [row] = self.ledger.execute(
                f"SELECT * FROM lastword_run WHERE id = {self.ledger.dialect.param}", run_id
            )
        return row

    def events(self, run_id: str) -> list[Row]:
        with self.ledger.session():
            return self.ledger.execute(
                f"SELECT * FROM lastword_event WHERE run_id = {self.ledger.dialect.param} "
                "ORDER BY id",
                run_id,
            )

    def kinds(self, run_id: str) -> list[str]:
        return [event["kind"] for event in self.events(run_id)]

    def completed(self, run_id: str, *, within_s: float = 15.0) -> Row:
        """Wait until a run has its last word; its row."""
        until(
            lambda: run_status(self.ledger, [run_id]).get(run_id, {}).get("completed_at"),
            within_s=within_s,
            what=f"the last word of {run_id}",
        )
        return self.row(run_id)

    def recover(self, run_id: str) -> None:
        """Take a run back from a worker that is gone, as a reconciler would."""
        row = self.row(run_id)
        verdict = Verdict(
            RunId(run_id),
            Status.RUNNING,
            row["attempt"],
            row["dispatch"],
            Reason.WORKER_LOST,
            {},
            message_ref=row["message_ref"],
            charged=True,
        )
        assert self.runs.redispatch([verdict])

    def disclaim(self, worker_id: WorkerId, *, but: Sequence[RunId] = ()) -> None:
        """Let a worker tell, just now, that it works on nothing but these runs."""
        self.workers.heartbeat(
            worker_id, lease_ttl_s=60, working=but, listed_at_ms=int(time.time() * 1000)
        )

    def backdate(self, run_id: str, column: str, seconds: float) -> None:
        """Let a moment of a run have been `seconds` earlier: time passes without waiting for it."""
        with self.ledger.transaction():
            self.ledger.execute(
                f"UPDATE lastword_run SET {column} = {column} - {int(seconds * 1000)} "
                f"WHERE id = {self.ledger.dialect.param}",
                run_id,
            )


class Silent:
    """A dispatcher whose messages go nowhere; the reconcilers would send them again."""

    def compose(self, operation: str, asked: Any, *, delay_ms: int = 0) -> list[Letter]:
        del delay_ms
        return [self.template(operation, run_id, inputs) for run_id, inputs in asked]

    def template(self, operation: str, run_id: RunId, inputs: Any) -> Letter:
        del inputs
        return Letter(run_id, "work", f'{{"message_id": "{run_id}", "operation": "{operation}"}}')

    def post(self, letters: Any, *, delay_ms: int = 0) -> None:
        del letters, delay_ms

    def send_all(self, runs: Any) -> None:
        del runs
