"""The durable families: what each measure of the ledger is called, and its catalogues of labels.

A label that is not in its catalogue becomes `unknown`, whatever stands in the ledger: a name that
somebody makes up is no new series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from lastword.service.metering import BUCKETS
from lastword.storage.measures import Measure

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Family:
    """One counter or histogram.

    Attributes:
        measure: its name in the ledger; of a histogram also the key of its buckets.
        name: its name for Prometheus, without the prefix and without `_total`.
        meaning: what it counts.
        labels: its labels, each with the values that it may have.
        from_zero: the label values that are there from the start, so that the first is an increase.
    """

    measure: str
    name: str
    meaning: str
    labels: Mapping[str, Collection[str]] = field(default_factory=dict)
    from_zero: Collection[tuple[str, ...]] = ()

    @property
    def is_histogram(self) -> bool:
        """Whether it has buckets."""
        return self.measure in BUCKETS

    def shown(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """These values, with `unknown` for each that is not known."""
        padded = (*labels, *([""] * len(self.labels)))[: len(self.labels)]
        return tuple(
            value if value in known else UNKNOWN
            for value, known in zip(padded, self.labels.values(), strict=True)
        )


def durable(measures: Mapping[Measure, int], known: Collection[Family]) -> Iterator[Metric]:
    """The families with what the ledger holds."""
    by_name: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    for (name, labels), value in measures.items():
        by_name[name][labels] = value
    for family in known:
        if family.is_histogram:
            yield _histogram(family, by_name)
        else:
            yield _counter(family, by_name[family.measure])


def _counter(family: Family, values: Mapping[tuple[str, ...], int]) -> Metric:
    totals: dict[tuple[str, ...], float] = dict.fromkeys(family.from_zero, 0.0)
    # The ledger counts time in whole milliseconds.
    scale = 1000 if family.measure.endswith("_ms") else 1
    for labels, value in sorted(values.items()):
        shown = family.shown(labels)
        totals[shown] = totals.get(shown, 0.0) + value / scale
    metric = CounterMetricFamily(
        f"lastword_{family.name}", family.meaning, labels=list(family.labels)
    )
    for labels, total in sorted(totals.items()):
        metric.add_metric(labels, total)
    return metric


def _histogram(family: Family, by_name: Mapping[str, Mapping[tuple[str, ...], int]]) -> Metric:
    bounds = [*(f"{bound:g}" for bound in BUCKETS[family.measure]), "+Inf"]
    counts: dict[tuple[str, ...], dict[str, int]] = {
        labels: dict.fromkeys(bounds, 0) for labels in family.from_zero
    }
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for labels, value in by_name.get(f"{family.measure}_bucket", {}).items():
        if labels and labels[-1] in bounds:
            shown = family.shown(labels[:-1])
            counts.setdefault(shown, dict.fromkeys(bounds, 0))[labels[-1]] += value
    for labels, value in by_name.get(f"{family.measure}_sum_us", {}).items():
        sums[family.shown(labels)] += value / 1_000_000
    metric = HistogramMetricFamily(
        f"lastword_{family.name}", family.meaning, labels=list(family.labels)
    )
    for labels, buckets in sorted(counts.items()):
        metric.add_metric(labels, _cumulated(buckets), sums[labels])
    return metric


def _cumulated(buckets: Mapping[str, int]) -> list[tuple[str, float]]:
    total, cumulated = 0, []
    for bound, count in buckets.items():
        total += count
        cumulated.append((bound, float(total)))
    return cumulated
