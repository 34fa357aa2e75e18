"""Where a life is led: the ledger, the broker, everybody's actors, and what each move does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

from greenlet import GreenletExit

from lastword.config import Config
from lastword.domains import DomainReconciler
from lastword.identity import RunId
from lastword.policy import Policy
from lastword.service import RunService, WorkerService
from lastword.service.requests import NewRun
from lastword.states import Source
from lastword_scheduler.contact import Contact
from lastword_scheduler.generic import GenericReconciler
from tests.faults.simulation import outsiders
from tests.faults.simulation.actors import NEVER, Actors
from tests.faults.simulation.checking import Checks
from tests.faults.simulation.journal import Execution, Journal
from tests.faults.simulation.moves import (
    Bar,
    Boot,
    Cancel,
    Does,
    Duplicate,
    Fault,
    Flush,
    Go,
    Hold,
    Kill,
    Move,
    Pass,
    Release,
    Spoil,
    Start,
    Stop,
)
from tests.faults.simulation.policies import ALL as POLICIES
from tests.faults.simulation.queues import DELAYED, QUEUE, Note, Queues, Sender
from tests.faults.simulation.records import SOURCES, Records, reconcilers
from tests.faults.simulation.turns import PERSON, LedgerOfTurns
from tests.faults.simulation.worker import LEASE_TTL_S, WorkerProcess

#: The clock's first moment, in milliseconds.
FIRST_MS = 1_700_000_000_000

#: Milliseconds of quiet, with every process gone, in which each run must come to its end: a
#: retry's delay, a lost worker and two waits of a minute; for one that waits for its children its
#: own limits once more, after the last of them.
CONVERGES_WITHIN_MS = 480_000


class Stage:
    """One life.

    Args:
        ledger: where the runs are; emptied.
    """

    def __init__(self, ledger: LedgerOfTurns) -> None:
        self.actors = Actors(FIRST_MS)
        ledger.actors = self.actors
        ledger.wipe()
        self.ledger = ledger
        self.runs, self.workers = RunService(ledger), WorkerService(ledger)
        self.queues = Queues(self.actors)
        self.sender = Sender(self.queues, self.runs)
        self.journal = Journal()
        self.processes: dict[str, WorkerProcess] = {}
        self.starts: dict[RunId, Start] = {}
        self.started_ms: dict[RunId, int] = {}
        self.barred: set[RunId] = set()
        self.sweep_every_ms = 5_000
        self._numbers: dict[str, int] = {}
        self.records = Records(self)
        self.checks = Checks(self)
        for number in (1, 2):
            self.spawn(f"scheduler-{number}", outsiders.scheduler(self), is_outsider=True)
            for reconciler in reconcilers():
                self._spawn_typed(number, reconciler)

    def do(self, move: Move) -> None:
        """Make a move, and look whether everything still holds. What cannot be done is nothing."""
        self.checks.begin(move)
        match move:
            case Go(actor, fault):
                self.actors.go(actor, Fault(fault))
            case Pass(milliseconds):
                self.actors.now += milliseconds
            case Start():
                self._start(move)
            case Boot():
                self._boot()
            case Kill(worker, is_seen):
                self.kill(worker, is_seen=is_seen)
            case Hold(process):
                self.actors.held.add(process)
            case Release(process):
                self.actors.held.discard(process)
            case Stop(worker) if worker in self.processes:
                self.processes[worker].stop()
            case Cancel(run):
                body = outsiders.operator(self, _run_id(run))
                self.spawn(self._named("operator"), body, is_outsider=True)
            case Flush():
                self.queues.flush()
            case Duplicate(run):
                self._duplicate(_run_id(run))
            case Bar(run):
                self.barred.add(_run_id(run))
            case Spoil(run, how):
                self._spoil(_run_id(run), how)
        self.checks.end(move)

    def close(self) -> None:
        """Nobody acts any more."""
        for process in {actor.process for actor in self.actors.by_name.values()}:
            self.actors.end_process(process)

    def come_to_rest(self, *, with_worker: bool) -> None:
        """I1: from here on nothing fails, and every run is completed in time.

        Args:
            with_worker: whether there is a worker; else there will never be one again.
        """
        for process in list(self.actors.held):
            self.do(Release(process))
        if with_worker:
            self.do(Boot())
        else:
            for name in list(self.processes):
                self.do(Kill(name, is_seen=False))
        self.sweep_every_ms = 9_000
        deadline = self.actors.now + CONVERGES_WITHIN_MS
        while not self._is_at_rest() and self.actors.now < deadline:
            ready = self.actors.ready()
            for actor in ready:
                self.do(Go(actor.name))
            wakes = self.actors.next_wake()
            if not ready and wakes is not None:
                self.do(Pass(wakes - self.actors.now))
        self.checks.require_rest()

    def spawn(
        self,
        name: str,
        body: Callable[[], None],
        *,
        process: str | None = None,
        is_outsider: bool = False,
    ) -> None:
        """Let somebody else act."""
        self.actors.spawn(name, body, process=process or name, is_outsider=is_outsider)

    def kill(self, worker: str, *, is_seen: bool) -> None:
        """End a worker process at once; the one whose turn it is goes no further."""
        process = self.processes.get(worker)
        if process is None:
            return
        self.end_process(worker, is_killed=True)
        if is_seen and process.worker_ids:
            body = outsiders.sentinel(self, list(process.worker_ids))
            self.spawn(f"sentinel-of-{worker}", body, is_outsider=True)
        if self.actors.turn is not None and self.actors.turn.process == worker:
            raise GreenletExit

    def end_process(self, worker: str, *, is_killed: bool = False) -> None:
        """A worker process is no more."""
        del self.processes[worker]
        self.actors.end_process(worker)
        if is_killed:
            self.journal.end_process(worker)

    def begin(self, execution: Execution) -> None:
        """A worker begins with a run."""
        self.checks.require_startable(execution)
        self.journal.executions.append(execution)

    def does(self, execution: Execution) -> Does:
        """What this execution will have done."""
        does = self.starts[execution.run_id].does
        earlier = len(self.journal.of_run(execution.run_id)) - 1
        return Does(does[min(earlier, len(does) - 1)])

    def policy_of(self, run_id: RunId) -> Policy:
        """The policy of a run's operation."""
        return POLICIES[self.starts[run_id].operation]

    def new_run(self, run_id: RunId, **fields: object) -> NewRun:
        """The request for a run that somebody starts."""
        start = self.starts[run_id]
        given: dict[str, object] = {
            "run_id": run_id,
            "policy": POLICIES[start.operation],
            "actor_name": "work",
            "payload": json.dumps({"run": run_id}),
            "identity_hash": start.identity,
            "delay_s": start.delay_s,
            "initiator_id": PERSON if start.by_person else None,
            **fields,
        }
        return NewRun(**given)  # type: ignore[arg-type]  # named as its fields are

    def has_runs_of(self, source: Source) -> bool:
        """Whether anything is to be looked after by the reconciler of this source."""
        return any(SOURCES.get(start.operation) is source for start in self.starts.values())

    def bear(self, parent: Execution, does: Does) -> None:
        """Start a child of a run, from within it."""
        run_id = self._new_run_id(Start("report.build", (does,)))
        note = Note(self.queues.new_ref(), run_id, 1)
        run = self.new_run(
            run_id, parent_id=parent.run_id, message_queue=QUEUE, message_ref=note.ref
        )
        self.actors.insist(lambda: self.runs.accept([run]))
        outsiders.send(self, QUEUE, note)

    def open_runs(self) -> Iterable[str]:
        """The runs that are not completed."""
        runs = self.checks.seen.runs
        return [run_id for run_id, row in runs.items() if row["status"] != "completed"]

    def _is_at_rest(self) -> bool:
        is_started = all(not name.startswith("application") for name in self.actors.by_name)
        is_tidy = all(ended_at for _, ended_at in self.checks.records.values())
        return is_started and not self.open_runs() and is_tidy

    def _spawn_typed(self, number: int, reconciler: DomainReconciler) -> None:
        self.spawn(
            f"scheduler-{number}/{reconciler.source}",
            outsiders.typed(self, reconciler),
            process=f"scheduler-{number}",
            is_outsider=True,
        )

    def _start(self, start: Start) -> None:
        run_id = self._new_run_id(start)
        self.spawn(self._named("application"), outsiders.application(self, run_id, start))

    def _boot(self) -> None:
        name = self._named("worker")
        self.processes[name] = WorkerProcess(self, name)
        self.processes[name].begin()

    def _duplicate(self, run_id: RunId) -> None:
        row = self.checks.seen.runs.get(run_id)
        note = self.queues.notes.get(row["message_ref"] or "") if row else None
        if note is not None:
            queue = DELAYED if note.due_ms else QUEUE
            self.queues.put(queue, replace(note, ref=self.queues.new_ref()))

    def _spoil(self, run_id: RunId, how: str) -> None:
        # One that was sent without Lastword is what its run will be: only marked ones are forged.
        found = [note for note in self.queues.notes.values() if note.run_id == run_id]
        for note in found[-1:]:
            if how == "garbled" or note.dispatch is not None:
                self.queues.spoil(note.ref, how)

    def _new_run_id(self, start: Start) -> RunId:
        run_id = _run_id(len(self.starts) + 1)
        self.starts[run_id], self.started_ms[run_id] = start, self.actors.now
        return run_id

    def _named(self, kind: str) -> str:
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return f"{kind}-{self._numbers[kind]}"


def reconciler_of(stage: Stage) -> GenericReconciler:
    """A generic reconciler of a process of its own."""
    return GenericReconciler(
        config=Config(heartbeat_interval=2.0, lease_ttl=LEASE_TTL_S, message_grace=2.0),
        ledger=stage.ledger,
        probe=stage.queues,
        dispatcher=stage.sender,
        typed=reconcilers(),
        contact=Contact(LEASE_TTL_S),
    )


def _run_id(number: int) -> RunId:
    # All of one length: none is a part of another.
    return RunId(f"run-{number:04}")


assert NEVER > FIRST_MS
