"""The collector: one look at the ledger, told again for some seconds, given up if it takes long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lastword.config import Config
from lastword.logs import log_notice
from lastword.metrics.catalogue import families
from lastword.metrics.families import UNKNOWN, durable
from lastword.reading.activity import ActiveGroup, QueueWorkers, read_active, read_workers
from lastword.reading.scheduler import read_counters
from lastword.service.counters import Counted
from lastword.states import ACTIVE
from lastword.storage.ledger import Ledger
from lastword.storage.measures import Measure, read_measures
from lastword.storage.schema import LATEST

#: Seconds that a scrape waits for the ledger.
READ_WITHIN_S = 2.0

#: Seconds for which what was read is told again.
KEPT_S = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the ledger held at one moment.

    Attributes:
        at: when, in seconds since 1970.
        took_s: how long it took to read.
    """

    at: float
    took_s: float
    active: list[ActiveGroup]
    workers: Mapping[str, QueueWorkers]
    measures: Mapping[Measure, int]
    late_results: Mapping[str, int]


class LedgerCollector(Collector):
    """Everything that the ledger knows. If it cannot be read: `lastword_ledger_up 0` and no more.

    Args:
        config: the operations and what was promised of them.
        ledger: the ledger.
        jobs: the jobs of the scheduler.
        kept_s: for how long a snapshot is told again, in seconds.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        *,
        jobs: Collection[str] = (),
        kept_s: float = KEPT_S,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._kept_s = kept_s
        self._operations = sorted(config.policies)
        self._families = families(self._operations, jobs)
        self._snapshot: Snapshot | None = None
        self._lock = threading.Lock()
        # One: a database that hangs must not cost a thread for each scrape.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="lastword-scrape")

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        snapshot = self._read()
        up = GaugeMetricFamily("lastword_ledger_up", "This scrape could read the ledger.")
        up.add_metric([], int(snapshot is not None))
        yield up
        if snapshot is None:
            return
        yield from self._about(snapshot)
        yield from _runs(snapshot.active, set(self._operations))
        yield from self._promised()
        yield from _workers(snapshot.workers)
        yield from durable(snapshot.measures, self._families)
        yield self._late_results(snapshot.late_results)

    def _read(self) -> Snapshot | None:
        with self._lock:
            kept = self._snapshot
            if kept is not None and time.time() - kept.at < self._kept_s:
                return kept
            try:
                self._snapshot = self._reader.submit(_look, self._ledger).result(READ_WITHIN_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the series says
                log_notice(logging.WARNING, "scrape_failed", why=f"{type(error).__name__}: {error}")
                self._snapshot = None
            return self._snapshot

    def _about(self, snapshot: Snapshot) -> Iterator[Metric]:
        built = GaugeMetricFamily(
            "lastword_build_info", "What runs here.", labels=["version", "revision", "schema"]
        )
        built.add_metric([version("lastword"), self._config.revision, LATEST], 1)
        yield built
        yield _gauge("ledger_collect_duration_seconds", "Cost of the look.", snapshot.took_s)
        yield _gauge("ledger_snapshot_timestamp_seconds", "When it was taken.", snapshot.at)

    def _promised(self) -> Iterator[Metric]:
        thresholds = GaugeMetricFamily(
            "lastword_stale_threshold_seconds",
            "How long a run may go unexplained.",
            labels=["operation", "status"],
        )
        limits = GaugeMetricFamily(
            "lastword_operation_timeout_seconds",
            "When an attempt is interrupted.",
            labels=["operation"],
        )
        for name in self._operations:
            policy = self._config.policies[name]
            thresholds.add_metric([name, "queued"], policy.queued_stale_after)
            thresholds.add_metric([name, "running"], policy.running_stale_after)
            limits.add_metric([name], policy.time_limit)
        yield thresholds
        yield limits
        yield _gauge(
            "reconcile_deadline_seconds",
            "Within what time a run that is stale has its last word.",
            reconcile_deadline_s(self._config),
        )

    def _late_results(self, late: Mapping[str, int]) -> Metric:
        metric = CounterMetricFamily(
            "lastword_run_late_results",
            "Results that came after their run was closed; kept, and without effect.",
            labels=["operation", "resolution"],
        )
        totals = dict.fromkeys(self._operations, 0)
        for operation, value in late.items():
            shown = operation if operation in totals else UNKNOWN
            totals[shown] = totals.get(shown, 0) + value
        for operation, total in sorted(totals.items()):
            metric.add_metric([operation, "recorded"], total)
        return metric


def reconcile_deadline_s(config: Config) -> float:
    """Seconds from stale to the last word at the latest, while a scheduler works."""
    return 2 * config.sweep_interval + config.sweep_deadline


def _look(ledger: Ledger) -> Snapshot:
    began = time.perf_counter()
    active, workers = read_active(ledger), read_workers(ledger)
    measures = read_measures(ledger)
    late = {
        label: value for (_, label), value in read_counters(ledger, [Counted.LATE_RESULTS]).items()
    }
    took_s = time.perf_counter() - began
    return Snapshot(time.time(), took_s, active, workers, measures, late)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"lastword_{name}", meaning, value=value)


def _runs(active: list[ActiveGroup], operations: Collection[str]) -> Iterator[Metric]:
    labels = ["operation", "queue", "status"]
    runs = GaugeMetricFamily("lastword_runs", "Active runs.", labels=labels)
    stale = GaugeMetricFamily("lastword_runs_stale", "Runs that are likely stale.", labels=labels)
    totals: dict[tuple[str, str, str], list[int]] = {
        (name, UNKNOWN, status): [0, 0] for name in operations for status in sorted(ACTIVE)
    }
    for group in active:
        name = group.operation if group.operation in operations else UNKNOWN
        total = totals.setdefault((name, group.queue, group.status), [0, 0])
        total[0] += group.runs
        total[1] += group.stale
    for key, (count, late) in sorted(totals.items()):
        runs.add_metric(key, count)
        stale.add_metric(key, late)
    yield runs
    yield stale
    yield from _ages(active)


def _ages(active: list[ActiveGroup]) -> Iterator[Metric]:
    oldest = GaugeMetricFamily(
        "lastword_run_oldest_age_seconds",
        "For how long the oldest run has been in its status.",
        labels=["queue", "status"],
    )
    stale = GaugeMetricFamily(
        "lastword_run_oldest_stale_age_seconds",
        "For how long the oldest stale run has been stale.",
        labels=["queue"],
    )
    ages: dict[tuple[str, str], float] = {(UNKNOWN, status): 0.0 for status in sorted(ACTIVE)}
    stale_ages = {UNKNOWN: 0.0}
    for group in active:
        key = (group.queue, group.status)
        ages[key] = max(ages.get(key, 0.0), group.oldest_s)
        stale_ages[group.queue] = max(stale_ages.get(group.queue, 0.0), group.oldest_stale_s)
    for (queue, status), age_s in sorted(ages.items()):
        oldest.add_metric([queue, status], age_s)
    for queue, age_s in sorted(stale_ages.items()):
        stale.add_metric([queue], age_s)
    yield oldest
    yield stale


def _workers(workers: Mapping[str, QueueWorkers]) -> Iterator[Metric]:
    by_state = GaugeMetricFamily(
        "lastword_workers", "Workers that have not ended.", labels=["queue", "state"]
    )
    slots = GaugeMetricFamily(
        "lastword_worker_slots", "Threads of workers.", labels=["queue", "state"]
    )
    heard = GaugeMetricFamily(
        "lastword_worker_oldest_heartbeat_age_seconds", "The oldest heartbeat.", labels=["queue"]
    )
    waits = GaugeMetricFamily(
        "lastword_worker_stop_wait_seconds",
        "How long whatever stops a worker waits; the shortest of them.",
        labels=["queue"],
    )
    for queue, here in sorted((workers or {UNKNOWN: QueueWorkers()}).items()):
        for state, count in here.states.items():
            by_state.add_metric([queue, state], count)
        slots.add_metric([queue, "busy"], here.busy)
        slots.add_metric([queue, "idle"], here.idle)
        heard.add_metric([queue], here.oldest_heartbeat_s)
        if here.stop_wait_s is not None:
            waits.add_metric([queue], here.stop_wait_s)
    yield from (by_state, slots, heard, waits)
