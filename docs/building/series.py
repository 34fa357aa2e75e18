"""The page of the metrics: what a scheduler and a web expose, asked of their collectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from docs.building.writing import table
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.testclient import TestClient

from lastword.application import Application
from lastword.config import Config, load_config
from lastword.embedded import EmbeddedRedis
from lastword.metrics.collecting import LedgerCollector
from lastword.storage.ledger import Ledger
from lastword.storage.opening import open_ledger
from lastword.storage.schema import migrate
from lastword.web.app import create_app
from lastword_scheduler.broker_metrics import BrokerCollector
from lastword_scheduler.contact import Contact
from lastword_scheduler.leading import Leadership
from lastword_scheduler.metrics import SchedulerCollector
from lastword_scheduler.timetable import sending_broker, timetable

_ABOUT = """# Metric families

Every family with its labels, asked of a scheduler and a web that have a ledger without runs. What
they are for, who is scraped and how to sum: [metrics and alerts](../metrics.md).

"""


def metrics_page(folder: Path) -> str:
    """Every family that there is.

    Args:
        folder: an empty one, for a ledger and a Redis.
    """
    with EmbeddedRedis(folder) as server:
        url = f"sqlite:///{folder / 'ledger.db'}"
        config = replace(load_config({}), database_url=url, broker_url=server.url)
        ledger = open_ledger(url)
        migrate(ledger)
        contact = Contact(config.lease_ttl)
        jobs = timetable(config, ledger, contact)
        leadership = Leadership(ledger, lease_ttl_s=config.lease_ttl, contact=contact)
        told: dict[str, list[Collector]] = {
            "Of the ledger": [LedgerCollector(config, ledger, jobs=[job.name for job in jobs])],
            "Of the scheduler and the broker": [
                SchedulerCollector(ledger, jobs, leadership),
                BrokerCollector(sending_broker(config, ledger), ledger),
            ],
        }
        rows = {title: _rows(collectors) for title, collectors in told.items()}
        known = {row[0] for found in rows.values() for row in found}
        scraped = _rows([_Scraped(config, ledger)])
        rows["Of one web"] = [row for row in scraped if row[0] not in known]
        ledger.close()
    parts = [f"## {title}\n\n{_table(found)}" for title, found in rows.items()]
    return _ABOUT + "\n\n".join(parts)


class _Scraped(Collector):
    """What a web answers whoever scrapes it, after a first request."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._app = create_app(config, ledger, open_application=_no_application)

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        with TestClient(self._app, base_url="http://127.0.0.1:8000") as client:
            client.get("/healthz")
            yield from text_string_to_metric_families(client.get("/metrics").text)


def _no_application() -> Application:
    raise AssertionError("nothing is started here")


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return table(["name", "type", "labels", "meaning"], sorted(rows))


def _rows(collectors: Iterable[Collector]) -> list[tuple[str, str, str, str]]:
    return [_row(metric) for collector in collectors for metric in collector.collect()]


def _row(metric: Metric) -> tuple[str, str, str, str]:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return f"`{name}`", metric.type, ", ".join(_labels(metric)), metric.documentation


def _labels(metric: Metric) -> Iterator[str]:
    named = getattr(metric, "_labelnames", None)
    if named is None:
        named = {key: None for sample in metric.samples for key in sample.labels if key != "le"}
    yield from named
