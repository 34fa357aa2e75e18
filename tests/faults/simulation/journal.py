"""What really happened in the workers, whatever the ledger says: the truth it is held against."""

from __future__ import annotations

from dataclasses import dataclass, field

from lastword.identity import RunId, WorkerId
from lastword.states import Outcome


@dataclass(slots=True, eq=False)
class Execution:
    """One execution of a run's actor.

    Attributes:
        ref: of the message that it came with.
        is_open: whether its worker still vouches for it: its end is not in the ledger yet.
        is_cancelled: whether its worker was told that it should stop.
        told: the end that the record of its work holds.
        has_died: whether its process was ended under it.
    """

    run_id: RunId
    dispatch: int
    attempt: int
    worker_id: WorkerId
    process: str
    ref: str
    retries: int
    began_ms: int
    is_open: bool = True
    is_cancelled: bool = False
    told: Outcome | None = None
    has_died: bool = False


@dataclass(slots=True)
class Journal:
    """Every execution in its order, and every end that a worker meant to report."""

    executions: list[Execution] = field(default_factory=list)
    #: (run, attempt, worker, outcome).
    reported: set[tuple[str, int, str, str]] = field(default_factory=set)
    #: Runs of which a heartbeat told, or meant to tell, that a part is done.
    in_parts: set[str] = field(default_factory=set)

    def of_run(self, run_id: str) -> list[Execution]:
        """The executions of a run."""
        return [execution for execution in self.executions if execution.run_id == run_id]

    def end_process(self, process: str) -> None:
        """What a process worked on has died with it."""
        for execution in self.executions:
            if execution.process == process and execution.is_open:
                execution.is_open, execution.has_died = False, True
