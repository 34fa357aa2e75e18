"""The guards that nothing can miss, each with the reason; see `mutations`.

They stay where they make a statement plain to read, or cheap. A guard is on this list or on one of
mutations: there is no third kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.mutations import SERVICE

WORKER = "middleware/lastword_middleware"


@dataclass(frozen=True, slots=True)
class Spare:
    """A guard whose absence changes nothing.

    Attributes:
        name: where it is, and which.
        file: the file.
        text: the guard as it stands there.
        why: what holds already without it.
    """

    name: str
    file: str
    text: str
    why: str
    folder: str = SERVICE


SPARE = (
    Spare(
        "a sighting: queued",
        "reconciling.py",
        "guards = [f\"status = '{Status.QUEUED}'\", SAME_ATTEMPT, SAME_DISPATCH]",
        "a run that has begun since has another attempt",
    ),
    Spare(
        "release: queued",
        "reserving.py",
        'guards = [_IS_QUEUED, SAME_DISPATCH, "holder = item_worker_id"]',
        "a run that works has no holder",
    ),
    Spare(
        "ask to stop: completed_at IS NULL",
        "cancelling.py",
        "AND completed_at IS NULL AND (status = '{Status.RUNNING}' OR holder IS NOT NULL)",
        "a completed run does not run, and nobody holds it",
    ),
    Spare(
        "ask to stop: in somebody's hands",
        "cancelling.py",
        "(status = '{Status.RUNNING}' OR holder IS NOT NULL)",
        "what was in nobody's hands has been cancelled by the move before, under the same lock",
    ),
    Spare(
        "reject a message: completed_at IS NULL",
        "ending.py",
        '"SELECT id, dispatch FROM lastword_run WHERE completed_at IS NULL "',
        "the verb that follows looks again",
    ),
    Spare(
        "retention: completed_at IS NOT NULL",
        "pruning.py",
        "WHERE completed_at IS NOT NULL",
        "no moment is before a moment that is missing; it leads to the index",
    ),
    Spare(
        "retention: ended_at IS NOT NULL",
        "pruning.py",
        "WHERE ended_at IS NOT NULL AND ended_at <= {param}",
        "no moment is before a moment that is missing",
    ),
    Spare(
        "to be rescued: ended",
        "workers.py",
        "WHERE ended_at IS NOT NULL AND rescued_at IS NULL",
        "a worker that lives is itself the other one of its process",
    ),
    Spare(
        "to be rescued: not rescued yet",
        "workers.py",
        "rescued_at IS NULL AND NOT EXISTS",
        "nothing is left to be given back a second time: it only costs",
    ),
    Spare(
        "current attempts: of this worker",
        "workers.py",
        "(status = 'running' AND worker_id = {dialect.param})",
        "another worker's attempt has another number",
    ),
    Spare(
        "progress: of this worker",
        "workers.py",
        "AND worker_id = {self.ledger.dialect.param} RETURNING id",
        "another worker's attempt has another number",
    ),
    Spare(
        "retry: not asked to stop",
        "messages.py",
        "if attempt.is_cancelled:",
        "the verb refuses a run that was asked to stop, and nobody is cancelled before it was",
        WORKER,
    ),
    Spare(
        "retry: the run went back",
        "messages.py",
        "if run_id not in dispatches:",
        "there is no number to send it with, and what breaks in this hook is a refusal",
        WORKER,
    ),
)
