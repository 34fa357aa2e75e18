"""The actors that the benchmarks run: nothing, a millisecond, or work until a file appears.

With `BENCH_BARE` it is Dramatiq as it comes, with a broker that has its own defaults.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

import lastword_middleware
from lastword.config import load_config
from lastword.logs import configure_logging
from lastword_middleware.broker import worker_broker

config = load_config()
broker: dramatiq.Broker
if os.environ.get("BENCH_BARE"):
    broker = RedisBroker(url=config.broker_url)
    broker.actor_options.add("operation")
else:
    broker = worker_broker(config)
    lastword_middleware.install(broker, config=config)
dramatiq.set_broker(broker)
configure_logging(config.log_format)


@dramatiq.actor(operation="bench.nothing")
def nothing(number: int) -> None:
    """Return at once."""


@dramatiq.actor(operation="bench.a_millisecond")
def a_millisecond(number: int) -> None:
    """Wait as if for an answer."""
    time.sleep(0.001)


@dramatiq.actor(operation="bench.once", queue_name="victims")
def once(until_file: str) -> None:
    """Work that is failed when its worker is lost."""
    _work(until_file)


@dramatiq.actor(operation="bench.again", queue_name="victims")
def again(until_file: str) -> None:
    """Work that is tried again when its worker is lost."""
    _work(until_file)


@dramatiq.actor(operation="bench.bystander", queue_name="bystanders")
def bystander(until_file: str) -> None:
    """Work in a worker that nothing happens to."""
    _work(until_file)


def _work(until_file: str) -> None:
    while not Path(until_file).exists():
        time.sleep(0.01)
