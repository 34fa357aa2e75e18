"""Those who do not work on runs: applications, operators, schedulers, sentinels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lastword.domains import DomainReconciler
from lastword.errors import LedgerUnavailable
from lastword.identity import RunId, WorkerId
from lastword.losses import recover_losses
from lastword.service.requests import Acceptance
from lastword.states import Source
from lastword_scheduler.typed import TypedReconciler
from tests.faults.simulation.actors import BrokerLost
from tests.faults.simulation.beginning import DENIAL
from tests.faults.simulation.moves import Start
from tests.faults.simulation.policies import ALL as POLICIES
from tests.faults.simulation.queues import DELAYED, QUEUE, Note

if TYPE_CHECKING:
    from lastword_scheduler.generic import GenericReconciler
    from tests.faults.simulation.stage import Stage

#: Milliseconds for which a sentinel tries to write what it saw.
REPORT_WITHIN_MS = 20_000

#: Milliseconds between two renewals of the leader's lease.
RENEWED_EVERY_MS = 1000

Body = Callable[[], None]


def application(stage: Stage, run_id: RunId, start: Start) -> Body:
    """Starts one run: its row first, its message second. A lost answer is asked for once more."""
    queue = DELAYED if start.delay_s else QUEUE
    due_ms = stage.actors.now + start.delay_s * 1000 if start.delay_s else 0
    note = Note(stage.queues.new_ref(), run_id, None if start.unmarked else 1, 0, due_ms)

    def begin() -> None:
        if start.by_person:
            keep_policies(stage, start)
        run = stage.new_run(run_id, message_queue=queue, message_ref=note.ref)
        for _ in range(2):
            try:
                [accepted] = stage.runs.accept([run])
            except LedgerUnavailable:
                continue
            same = accepted.run_id == run_id
            assert same or accepted.result is not Acceptance.ACCEPTED
            if same:
                send(stage, queue, note)
            return

    if start.is_refused:
        return refusal(stage, run_id)
    return begin if not start.unmarked else lambda: send(stage, queue, note)


def keep_policies(stage: Stage, start: Start) -> None:
    """Keep a policy before the start, as where its row must not be held by a transaction."""
    with contextlib.suppress(LedgerUnavailable):
        stage.runs.keep_policies([POLICIES[start.operation]])


def refusal(stage: Stage, run_id: RunId) -> Body:
    """Records one start that is refused; a lost answer is asked for once more."""

    def refuse() -> None:
        for _ in range(2):
            with contextlib.suppress(LedgerUnavailable):
                stage.runs.refuse([stage.new_run(run_id, denial=DENIAL)])
                return

    return refuse


def send(stage: Stage, queue: str, note: Note) -> None:
    """Send a message; an error means that nobody knows."""
    try:
        stage.queues.enqueue(queue, [note])
    except BrokerLost:
        return


def operator(stage: Stage, run_id: RunId) -> Body:
    """Asks for a run to stop; a lost answer is asked for once more."""

    def cancel() -> None:
        for _ in range(2):
            try:
                stage.runs.cancel([run_id], by="ada")
                return
            except LedgerUnavailable:
                continue

    return cancel


def scheduler(stage: Stage) -> Body:
    """Sweeps, and gives back what dead workers hold."""

    def run() -> None:
        from tests.faults.simulation.stage import reconciler_of

        reconciler = reconciler_of(stage)
        while True:
            asleep_at = stage.actors.now
            stage.actors.sleep(stage.sweep_every_ms)
            # Beside the sweeps the leader's lease has been renewed meanwhile.
            for at_ms in range(asleep_at, stage.actors.now + 1, RENEWED_EVERY_MS):
                reconciler.contact.wrote(at_ms)
            try:
                reconciler.sweep()
                _rescue(stage, reconciler)
            except (LedgerUnavailable, BrokerLost):
                continue

    return run


def typed(stage: Stage, reconciler: DomainReconciler) -> Body:
    """Sweeps for one type-specific reconciler, as long as there is anything of its operations."""

    def run() -> None:
        sweeps = TypedReconciler(stage.ledger, reconciler, grace_s=4.0)
        while True:
            stage.actors.wait_for(lambda: stage.has_runs_of(reconciler.source))
            stage.actors.sleep(stage.sweep_every_ms)
            with contextlib.suppress(LedgerUnavailable):
                sweeps.sweep()

    return run


def sentinel(stage: Stage, worker_ids: Sequence[WorkerId]) -> Body:
    """Has seen the end of a worker's process, and insists on reporting it for a while."""
    deadline = stage.actors.now + REPORT_WITHIN_MS

    def report() -> None:
        while stage.actors.now < deadline:
            try:
                for worker_id in worker_ids:
                    stage.workers.lose(worker_id, cause={"seen": "its end"})
                recover_losses(
                    stage.ledger, stage.sender, worker_ids, source=Source.SENTINEL, evidence={}
                )
                return
            except LedgerUnavailable:
                stage.actors.sleep(200)

    return report


def _rescue(stage: Stage, reconciler: GenericReconciler) -> None:
    # What `BrokerRescue` does, on the broker that is here.
    at_ms = stage.actors.now
    if reconciler.contact.leases_tell(at_ms):
        stage.workers.lose_expired(at_ms)
    for worker in stage.workers.unrescued():
        stage.queues.give_back(worker["broker_id"])
        stage.workers.rescued([worker["id"]])
