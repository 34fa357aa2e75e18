"""What the broker holds, and where it and the ledger differ. Asked, never changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from dramatiq.broker import Broker
from dramatiq.brokers.redis import RedisBroker
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lastword.logs import log_notice
from lastword.reading.activity import plain_queue
from lastword.storage.ledger import Ledger
from lastword_scheduler.probe import HELD_KINDS, count_messages

#: Seconds that a scrape waits for the broker.
READ_WITHIN_S = 2.0

#: Milliseconds for which a run's message may be on its way.
ON_ITS_WAY_MS = 10_000


class BrokerCollector(Collector):
    """The queues of a Redis broker. Of another broker, nothing: it cannot be asked.

    Args:
        broker: the broker.
        ledger: what it is held against.
    """

    def __init__(self, broker: Broker, ledger: Ledger) -> None:
        self._broker = broker
        self._ledger = ledger
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="lastword-broker-scrape")

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        if not isinstance(self._broker, RedisBroker):
            return
        up = GaugeMetricFamily("lastword_broker_up", "This scrape could ask the broker.")
        try:
            queues = self._reader.submit(self._count).result(READ_WITHIN_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the series says
            log_notice(logging.WARNING, "scrape_failed", why=f"{type(error).__name__}: {error}")
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        messages = GaugeMetricFamily(
            "lastword_broker_messages", "Messages that it holds.", labels=["queue", "kind"]
        )
        for queue, kinds in sorted(queues.items()):
            for kind in HELD_KINDS:
                messages.add_metric([queue, kind], kinds.get(kind, 0))
        yield messages
        yield self._drift(queues)

    def _count(self) -> dict[str, dict[str, int]]:
        assert isinstance(self._broker, RedisBroker)
        with self._ledger.session():
            rows = self._ledger.execute(
                "SELECT DISTINCT message_queue AS queue FROM lastword_run "
                "WHERE completed_at IS NULL AND message_queue IS NOT NULL"
            )
        names = {plain_queue(row["queue"]) for row in rows} | {"default"}
        return count_messages(self._broker.client, self._broker.namespace, sorted(names))

    def _drift(self, queues: dict[str, dict[str, int]]) -> Metric:
        """Runs that wait beyond the messages that there are, queue by queue; and the reverse."""
        drift = GaugeMetricFamily(
            "lastword_ledger_broker_drift",
            "By how many ledger and broker differ.",
            labels=["queue", "kind"],
        )
        now = self._ledger.dialect.now_ms
        with self._ledger.session():
            rows = self._ledger.execute(
                "SELECT message_queue AS queue, COUNT(*) AS runs FROM lastword_run "
                f"WHERE completed_at IS NULL AND status = 'queued' AND message_queue IS NOT NULL "
                f"AND sent_at < {now} - {ON_ITS_WAY_MS} GROUP BY message_queue"
            )
        waiting: dict[str, int] = {}
        for row in rows:
            name = plain_queue(row["queue"])
            waiting[name] = waiting.get(name, 0) + int(row["runs"])
        for queue, kinds in sorted(queues.items()):
            held = kinds.get("ready", 0) + kinds.get("delayed", 0) + kinds.get("in_hand", 0)
            missing = max(0, waiting.get(queue, 0) - held)
            drift.add_metric([queue, "run_without_message"], missing)
        return drift
