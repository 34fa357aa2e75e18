"""What Prometheus scrapes from a scheduler: read from the ledger, so that no restart resets it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lastword.logs import log_notice
from lastword.reading.scheduler import read_counters
from lastword.service.counters import Counted
from lastword.service.sweeps import SweepResult
from lastword.storage.ledger import Ledger, Row
from lastword.timing import Rule, Violation
from lastword_scheduler.leading import Leadership
from lastword_scheduler.running import Job

#: Seconds a scrape waits for the ledger.
READ_WITHIN_S = 2.0

_KINDS = ("acted", "skipped", "lost_races")


@dataclass(slots=True, eq=False)
class SchedulerCollector(Collector):
    """The jobs of the scheduler; nothing if the ledger cannot be read, which another says.

    Args:
        ledger: where they are kept.
        jobs: the timetable.
        leadership: whether this process leads.
        unsafe: the timing rules that this process was allowed to break.
    """

    ledger: Ledger
    jobs: Sequence[Job]
    leadership: Leadership
    unsafe: Sequence[Violation] = ()
    # One: a database that hangs must not cost a thread for each scrape.
    _reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="lastword-scrape")
    )

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        try:
            sweeps, counters, workers = self._reader.submit(self._read).result(READ_WITHIN_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the series says
            log_notice(logging.WARNING, "scrape_failed", why=f"{type(error).__name__}: {error}")
            return
        yield GaugeMetricFamily(
            "lastword_reconciler_leader",
            "This scheduler is the one that acts.",
            value=int(self.leadership.is_held),
        )
        yield from self._last({row["job"]: row for row in sweeps})
        yield from self._totals(counters)
        yield self._unsafe_timing(workers)

    def _read(self) -> tuple[list[Row], dict[tuple[str, str], int], list[Row]]:
        with self.ledger.session():
            sweeps = self.ledger.execute("SELECT * FROM lastword_sweep")
            workers = self.ledger.execute(
                "SELECT unsafe_timing FROM lastword_worker WHERE ended_at IS NULL "
                "AND unsafe_timing IS NOT NULL AND unsafe_timing <> '[]'"
            )
        return sweeps, read_counters(self.ledger, [Counted.SWEEPS, Counted.SWEPT]), workers

    def _unsafe_timing(self, workers: Sequence[Row]) -> Metric:
        broken = GaugeMetricFamily(
            "lastword_unsafe_timing_processes",
            "Live workers, and this scheduler, that were allowed to break a rule of timing.",
            labels=["rule"],
        )
        allowed = [str(violation.rule) for violation in self.unsafe]
        processes = [set(allowed), *(set(json.loads(row["unsafe_timing"])) for row in workers)]
        for rule in Rule:
            broken.add_metric([rule], sum(rule in rules for rules in processes))
        return broken

    def _last(self, sweeps: dict[str, Row]) -> Iterator[Metric]:
        interval = _gauge("interval_seconds", "How often the job runs.")
        success = _gauge("last_success_timestamp_seconds", "When the job last succeeded; 0: never.")
        duration = _gauge("last_sweep_duration_seconds", "How long its last run took.")
        found = _gauge("last_sweep_found", "What its last run looked at.")
        for job in self.jobs:
            row: dict[str, Any] = sweeps.get(job.name, {})
            interval.add_metric([job.name], job.every_s)
            success.add_metric([job.name], (row.get("succeeded_at") or 0) / 1000)
            duration.add_metric([job.name], row.get("duration_ms", 0) / 1000)
            found.add_metric([job.name], row.get("found", 0))
        yield from (interval, success, duration, found)

    def _totals(self, counters: dict[tuple[str, str], int]) -> Iterator[Metric]:
        sweeps = CounterMetricFamily(
            "lastword_reconciler_sweeps", "Runs of the job.", labels=["task", "result"]
        )
        swept = CounterMetricFamily(
            "lastword_reconciler_swept", "What the job did.", labels=["task", "kind"]
        )
        for job in self.jobs:
            for result in SweepResult:
                value = counters.get((Counted.SWEEPS, f"{job.name}/{result}"), 0)
                sweeps.add_metric([job.name, result], value)
            for kind in _KINDS:
                swept.add_metric(
                    [job.name, kind], counters.get((Counted.SWEPT, f"{job.name}/{kind}"), 0)
                )
        yield from (sweeps, swept)


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lastword_reconciler_{name}", meaning, labels=["task"])
