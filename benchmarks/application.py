"""The actors that the benchmarks run: nothing, a millisecond, or work until a file appears.

With `BENCH_BARE` it is Dramatiq as it comes, with a broker that has its own defaults.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

import lastword_middleware
from lastword.config import load_config
from lastword.log_formats import configure_logging
from lastword_middleware.broker import worker_broker
from lastword_middleware.placement import stay_on_one_cpu

_MEGABYTE = bytes(1_000_000)

config = load_config()
broker: dramatiq.Broker
if os.environ.get("BENCH_BARE"):
    broker = RedisBroker(url=config.broker_url)
    broker.actor_options.add("operation")
    if config.one_cpu:
        # Its placement and nothing else, as `taskset` would: Python's turns stay as they are.
        turn_s = sys.getswitchinterval()
        stay_on_one_cpu()
        sys.setswitchinterval(turn_s)
else:
    broker = worker_broker(config)
    lastword_middleware.install(broker, config=config)
dramatiq.set_broker(broker)
configure_logging(config.log_format)


@dramatiq.actor(operation="bench.nothing")
def nothing(number: int) -> None:
    """Return at once."""


@dramatiq.actor(operation="bench.never_repeated")
def never_repeated(number: int) -> None:
    """Return at once, but not before its start is in the ledger."""


@dramatiq.actor(operation="bench.a_millisecond")
def a_millisecond(number: int) -> None:
    """Wait as if for an answer."""
    time.sleep(0.001)


@dramatiq.actor(operation="bench.in_python")
def in_python(number: int) -> None:
    """Compute in Python, for about a millisecond."""
    sum(each * each for each in range(15_000))


@dramatiq.actor(operation="bench.beside_python")
def beside_python(number: int) -> None:
    """Compute in C without the interpreter's lock, for about a millisecond."""
    hashlib.sha256(_MEGABYTE)


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
