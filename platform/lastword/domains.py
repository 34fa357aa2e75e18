"""What type-specific reconcilers are: those who can read the domain's own record of the work.

They stand beside the generic reconciler, for the operations whose policy names them. A record that
holds the end of the work wins over every threshold: the generic reconciler leaves such a run to
them.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from lastword.config import Config
from lastword.counts import Number
from lastword.errors import ConfigError, LedgerUnavailable
from lastword.identity import RunId
from lastword.policy import GENERIC, Policy
from lastword.reasons import Reason
from lastword.states import Outcome, Source, Status
from lastword.storage.ledger import Ledger, Row, as_batch

#: The entry point group whose members name a `DomainReconciler`.
RECONCILERS_GROUP = "lastword.reconcilers"


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that has not ended, as a type-specific reconciler needs to know it."""

    run_id: RunId
    operation: str
    status: Status
    attempt: int
    dispatch: int
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DomainEnd:
    """The end of a run's work, as the domain's record holds it.

    Attributes:
        outcome: how the work ended.
        reason: why, if it did not succeed.
        evidence: the record as it was seen, as JSON values.
        counts: what the work had counted, under registered keys.
        age_s: for how long the record has held the end, in seconds.
    """

    outcome: Outcome
    reason: Reason | None
    evidence: Mapping[str, Any]
    counts: Mapping[str, Number] = field(default_factory=dict)
    age_s: float = 0.0


class DomainReconciler(Protocol):
    """One type-specific reconciler. Its name in a policy is that of its source."""

    @property
    def source(self) -> Source:
        """Under which it acts."""

    def look(self, ledger: Ledger, runs: Sequence[ActiveRun]) -> Mapping[RunId, DomainEnd]:
        """Of these runs, those whose record holds the end. Reads only."""

    def tidy(self, ledger: Ledger) -> Counter[str]:
        """Bring records in line with runs that have ended; how many of what were."""


def read_active(ledger: Ledger, run_ids: Sequence[str]) -> list[ActiveRun]:
    """Of these runs, those that have not ended."""
    if not run_ids:
        return []
    with ledger.session():
        rows = ledger.execute(
            "SELECT id, operation, status, attempt, dispatch, context FROM lastword_run "
            f"JOIN {ledger.dialect.batch({'run_id': 'text'})} AS item ON id = item_run_id "
            "WHERE completed_at IS NULL",
            as_batch([{"run_id": run_id} for run_id in run_ids]),
        )
    return [active_run(row) for row in rows]


def active_run(row: Row) -> ActiveRun:
    """A run from its row."""
    return ActiveRun(
        run_id=RunId(row["id"]),
        operation=row["operation"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        dispatch=row["dispatch"],
        context=json.loads(row["context"]),
    )


def ends_held(
    ledger: Ledger, reconcilers: Sequence[DomainReconciler], runs: Mapping[RunId, Policy]
) -> dict[RunId, Source]:
    """Of these runs, those whose end is held by a record of the domain, with who reads it.

    Whoever would end or repeat such a run for another reason leaves it to that reconciler.

    Args:
        ledger: where the runs and the records are.
        reconcilers: those that are installed.
        runs: which, with the policy that says who covers each.
    """
    held: dict[RunId, Source] = {}
    for reconciler in reconcilers:
        covered = [run for run, policy in runs.items() if reconciler.source in policy.reconcilers]
        if not covered:
            continue
        try:
            found = reconciler.look(ledger, read_active(ledger, covered))
        except LedgerUnavailable:
            raise
        except Exception:
            # What cannot be read is no evidence: the limits of the policy hold all the same.
            logging.getLogger("lastword").exception("the records of %s", reconciler.source)
            continue
        held.update(dict.fromkeys(found, reconciler.source))
    return held


def installed_reconcilers() -> list[DomainReconciler]:
    """Every type-specific reconciler that is installed here, those that ship with Lastword first.

    Several may act under one source: each is asked about all runs whose policy names that, and
    answers for those of which it has the record.
    """
    # Ours are called like their sources. Whatever else is installed, theirs is the first sweep.
    shipped = set(Source)
    entries = sorted(
        entry_points(group=RECONCILERS_GROUP),
        key=lambda entry: (entry.name not in shipped, entry.name),
    )
    return [entry.load()() for entry in entries]


def required_reconcilers(config: Config) -> list[DomainReconciler]:
    """Every type-specific reconciler that is installed here, and all that policies name.

    Raises:
        ConfigError: a policy names one that is not.
    """
    installed = installed_reconcilers()
    known = {GENERIC, *(reconciler.source for reconciler in installed)}
    faults = [
        f'operations."{policy.operation}": reconcilers names {name!r}, which is not installed; '
        f"expected some of {', '.join(sorted(known))}"
        for policy in config.policies.values()
        for name in policy.reconcilers
        if name not in known
    ]
    if faults:
        raise ConfigError(faults)
    return installed
