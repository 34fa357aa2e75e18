"""Runs type-specific reconcilers: for each run whose policy names one, what its record says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lastword.domains import ActiveRun, DomainReconciler, active_run
from lastword.service import RunService
from lastword.service.concluding import Conclusion
from lastword.storage.ledger import Ledger, Row
from lastword_scheduler.reports import GivenUp, SweepReport, never

#: Runs asked about at once.
PAGE = 500


@dataclass(frozen=True, slots=True)
class TypedReconciler:
    """Sweeps for one type-specific reconciler.

    Args:
        ledger: where the runs are.
        reconciler: what can read the domain's records.
        grace_s: for how long a record must have held the end, in seconds: a worker that has just
            written it says so itself a moment later.
    """

    ledger: Ledger
    reconciler: DomainReconciler
    grace_s: float

    def sweep(self, given_up: GivenUp = never) -> SweepReport:
        """End what its record has ended, and bring records in line with runs that have ended."""
        report = SweepReport()
        after = ""
        while not given_up():
            rows = self._page(after)
            if not rows:
                break
            after = rows[-1]["id"]
            self._conclude([active_run(row) for row in rows], report)
        if not given_up():
            report.acted.update(self.reconciler.tidy(self.ledger))
        return report

    def _conclude(self, runs: Sequence[ActiveRun], report: SweepReport) -> None:
        report.found += len(runs)
        by_id = {run.run_id: run for run in runs}
        conclusions = [
            Conclusion(
                run_id=run_id,
                attempt=by_id[run_id].attempt,
                dispatch=by_id[run_id].dispatch,
                source=self.reconciler.source,
                outcome=end.outcome,
                reason=end.reason,
                evidence=end.evidence,
                counts=end.counts,
                age_s=end.age_s,
            )
            for run_id, end in self.reconciler.look(self.ledger, runs).items()
            if end.age_s >= self.grace_s
        ]
        concluded = RunService(self.ledger).conclude(conclusions)
        report.acted["conclude"] += len(concluded)
        report.acted = +report.acted
        report.lost_races += len(conclusions) - len(concluded)

    def _page(self, after: str) -> list[Row]:
        versions = self._versions()
        if not versions:
            return []
        param = self.ledger.dialect.param
        with self.ledger.session():
            return self.ledger.execute(
                "SELECT id, operation, status, attempt, dispatch, context FROM lastword_run "
                f"WHERE completed_at IS NULL AND id > {param} "
                f"AND policy_version IN ({', '.join([param] * len(versions))}) "
                f"ORDER BY id LIMIT {PAGE}",
                after,
                *versions,
            )

    def _versions(self) -> list[str]:
        # Under which policy a run was accepted says who covers it.
        with self.ledger.session():
            rows = self.ledger.execute("SELECT version, document FROM lastword_policy")
        name = self.reconciler.source
        return [row["version"] for row in rows if name in _reconcilers(row["document"])]


def _reconcilers(document: str) -> list[str]:
    names = json.loads(document).get("reconcilers")
    return names if isinstance(names, list) else []
