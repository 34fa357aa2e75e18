"""Who may scrape, and the text that a scrape gets."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lastword.config import Config

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")

#: The media type of `exposition`.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class CallbackGauge(Collector):
    """A gauge whose value is asked for when it is scraped.

    Args:
        name: its name.
        meaning: what it tells.
        value: gives it.
    """

    def __init__(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        self._name = name
        self._meaning = meaning
        self._value = value

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        yield GaugeMetricFamily(self._name, self._meaning, value=self._value())


def exposition(collectors: Iterable[Collector]) -> bytes:
    """One scrape of these collectors, in the text format of Prometheus."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


def may_scrape(config: Config, address: str, authorization: str) -> bool:
    """Whether whoever shows this header may scrape what listens at this address.

    Beyond loopback nobody may without the token: names of operations are nobody else's.

    Args:
        config: holds the token, if there is one.
        address: HOST:PORT of the listener.
        authorization: the header; empty if there is none.
    """
    if not config.metrics_token:
        return address.rpartition(":")[0] in _LOOPBACK
    kind, _, token = authorization.partition(" ")
    given = token.strip().encode(errors="replace")
    return kind.lower() == "bearer" and hmac.compare_digest(given, config.metrics_token.encode())
