"""What an actor can say of the run it is working on: progress, partial failure, its own facts.

Nothing here touches the database. What is said is kept in memory, carried to the ledger by the
worker's heartbeat while the run works, and written with its end.
"""

from __future__ import annotations

import json
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from lastword.counts import Number, checked_counts
from lastword.identity import RunId, canonical_json
from lastword.reasons import SENTENCES, Reason
from lastword.states import Outcome

#: Failures kept one by one on a run; more are counted under the last.
MAX_FAILURES = 50


@dataclass(slots=True)
class CurrentRun:
    """One attempt as its actor sees it.

    Attributes:
        run_id: the run's id.
        operation: its operation.
        tenant_id: the tenant it works on, if any.
        workspace_id: the workspace it was started in.
        initiator_id: the person who started it; None if it was the system.
        attempt: the number of this attempt, from 1.
    """

    run_id: RunId
    operation: str
    attempt: int
    tenant_id: str | None = None
    workspace_id: str | None = None
    initiator_id: str | None = None
    outcome: Outcome = Outcome.SUCCEEDED
    failures: list[dict[str, Any]] = field(default_factory=list)
    _counts: dict[str, Number] = field(default_factory=dict)
    _context: dict[str, Any] = field(default_factory=dict)
    _unsaved: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def progress(self, **counts: Number) -> None:
        """Set counts to these values, e.g. `progress(processed=10, total=100)`.

        Raises:
            ValueError: a key is not registered or a value is not a finite number.
        """
        checked = checked_counts(counts)
        with self._lock:
            self._counts.update(checked)
            self._unsaved = True

    def count(self, **increments: Number) -> None:
        """Add to counts, e.g. `count(created=1)`.

        Raises:
            ValueError: a key is not registered or a value is not a finite number.
        """
        checked = checked_counts(increments)
        with self._lock:
            for key, increment in checked.items():
                self._counts[key] = self._counts.get(key, 0) + increment
            self._unsaved = True

    def note_failure(self, reason: Reason, message: str = "") -> None:
        """Record that a part failed and the run goes on; it can then only succeed in part.

        Args:
            reason: the code to count under.
            message: an operator-safe detail.
        """
        code = Reason(reason)
        with self._lock:
            self.outcome = Outcome.PARTIALLY_SUCCEEDED
            self._unsaved = True
            if len(self.failures) >= MAX_FAILURES:
                self.failures[-1]["count"] = self.failures[-1].get("count", 1) + 1
                return
            self.failures.append({"code": code, "message": message or SENTENCES[code]})

    def remember(self, **facts: Any) -> None:
        """Keep facts that are not numbers in the run's context. They must be JSON.

        Raises:
            TypeError: a fact has no JSON form.
        """
        # A copy: what the actor goes on to do with its lists must not reach the ledger unseen.
        kept = json.loads(canonical_json(facts))
        with self._lock:
            self._context.update(kept)
            self._unsaved = True

    @property
    def counts(self) -> dict[str, Number]:
        """The counts so far."""
        with self._lock:
            return dict(self._counts)

    @property
    def context(self) -> dict[str, Any]:
        """The facts so far."""
        with self._lock:
            return dict(self._context)

    def take_unsaved(self) -> dict[str, Number] | None:
        """The counts if anything was said since the last call, else None."""
        with self._lock:
            if not self._unsaved:
                return None
            self._unsaved = False
            return dict(self._counts)

    def keep_unsaved(self) -> None:
        """What `take_unsaved` gave could not be written: it is unsaved again."""
        with self._lock:
            self._unsaved = True


_current: ContextVar[CurrentRun | None] = ContextVar("lastword_current_run", default=None)


def current_run() -> CurrentRun:
    """The run this code works on.

    Raises:
        LookupError: the code does not run inside an actor that names an operation.
    """
    run = _current.get()
    if run is None:
        raise LookupError(
            "no run is being worked on here; current_run() is for code inside an actor declared "
            "with operation=..., on a broker with Lastword installed"
        )
    return run


def enter_run(run: CurrentRun) -> None:
    """Make `run` the current one of this context."""
    _current.set(run)


def leave_run() -> None:
    """This context works on no run any more."""
    _current.set(None)
