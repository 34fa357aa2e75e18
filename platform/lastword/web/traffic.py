"""What one process of the web has answered: the only numbers that are not the ledger's."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Traffic(Collector):
    """Requests by the path of their entry, never by their URL."""

    def __init__(self) -> None:
        self._own = CollectorRegistry()
        self._requests = Counter(
            "lastword_http_requests",
            "Requests that were answered.",
            ["route", "method", "code"],
            registry=self._own,
        )
        self._durations = Histogram(
            "lastword_http_request_duration_seconds",
            "How long answers took.",
            ["route", "method"],
            buckets=_BUCKETS,
            registry=self._own,
        )
        self._unwritten = Counter(
            "lastword_audit_write_failures",
            "Actions that were refused because their entry could not be written.",
            registry=self._own,
        )

    def note(self, route: str, method: str, code: int, took_s: float) -> None:
        """A request was answered."""
        self._requests.labels(route, method, str(code)).inc()
        self._durations.labels(route, method).observe(took_s)

    def note_unwritten(self) -> None:
        """An entry of the audit log could not be written; what it was of is not done."""
        self._unwritten.inc()

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        for family in self._own.collect():
            # When each was made: a series more for each, and nobody asks.
            family.samples = [item for item in family.samples if not item.name.endswith("_created")]
            yield family
